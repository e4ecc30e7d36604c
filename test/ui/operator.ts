import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, Frame, Locator, Page } from 'playwright-core';
import { onTestFinished } from 'vitest';
import { servers } from '../harness/servers.ts';

/** Pictures of every station, kept as build output. */
const PICTURES = fileURLToPath(new URL('../../out/ui/', import.meta.url));
const FOUND_WITHIN_MS = 30_000;

export interface SignalToSend {
  name: string;
  /** Typed into the field as it is. */
  data: string;
  /** A name that the UI doesn't list is typed too. */
  custom?: boolean;
  /** Takes the encoding `json/protobuf` with this message type. */
  messageType?: string;
}

/** A person at Temporal UI: does what one does with mouse and keyboard, and nothing else. */
export class Operator {
  readonly page: Page;
  private constructor(page: Page) {
    this.page = page;
  }

  static async arrive(browser: Browser): Promise<Operator> {
    const context = await browser.newContext({ viewport: { width: 1440, height: 1200 }, reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.setDefaultTimeout(FOUND_WITHIN_MS);
    const { ui } = servers().temporal;
    if (ui === null) throw new Error('the Temporal of the tests has no UI');
    await page.goto(`${ui}/namespaces/default/workflows`);
    const operator = new Operator(page);
    onTestFinished(async ({ task }) => {
      if (task.result?.state === 'fail')
        await operator.picture(`failed-${task.name.slice(0, 40).replaceAll(/\W+/g, '-')}`);
      await context.close();
    });
    return operator;
  }

  /** Narrows the list of workflows by a search attribute. */
  async filter(attribute: string, value: string): Promise<void> {
    await this.page.getByRole('button', { name: 'Add Filter' }).click();
    await this.page.getByRole('menuitem', { name: new RegExp(`^${attribute} `) }).click();
    const filter = this.page.getByRole('menu', { name: `Filter by ${attribute}` });
    await filter.getByRole('textbox', { name: 'Value' }).fill(value);
    await filter.getByRole('button', { name: 'Apply' }).click();
    // A click before the address has the filter would be undone by it.
    await this.page.waitForURL((url) => url.searchParams.get('query')?.includes(`\`${attribute}\`=`) === true);
  }
  /** Takes a query as one that was written down somewhere: in the address. */
  async query(query: string): Promise<void> {
    const address = new URL(this.page.url());
    address.searchParams.set('query', query);
    await this.page.goto(address.href);
  }
  /** Workflow IDs in the list, as soon as it has the expected number of them. */
  async listed(count: number): Promise<string[]> {
    await this.page.getByRole('heading', { name: new RegExp(`^${count} Workflow`) }).waitFor();
    return this.page.getByRole('link', { name: /^migration\// }).allInnerTexts();
  }
  /** Opens the only one in the list. */
  async open(workflowId: string): Promise<void> {
    await this.listed(1);
    await this.page.getByRole('link', { name: workflowId, exact: true }).click();
    await this.page.getByRole('heading', { name: workflowId }).waitFor();
  }
  async tab(name: string): Promise<void> {
    await this.page.getByRole('tab', { name: new RegExp(`^${name}`) }).click();
  }

  /** The current details as rendered, asked for anew as the UI says: by the key R. Waits until they hold `words`. */
  async currentDetails(words: string): Promise<Locator> {
    await this.tab('User Metadata');
    await this.page.getByText('Press the R for freshness').waitFor();
    await this.page.keyboard.press('r');
    const details = this.page.frameLocator('iframe >> nth=2').locator('main');
    await details.getByText(words).first().waitFor();
    return details;
  }
  /**
   * The payload that the details show for a signal, word for word, with the name put in. (When the field loses the focus
   * the UI lays JSON on one line out anew; the button moves away, and the click with it: payloads are shown laid out.)
   */
  static async payloadFor(details: Locator, signal: string, by: string): Promise<string> {
    const shown = details.locator('p', { hasText: `signal ${signal}` }).locator('xpath=following-sibling::pre[1]');
    return (await shown.innerText()).trim().replace('you@example.com', by);
  }

  /** Fills 'Send a Signal'; the caller sends it with `submit` or `cancel`s. */
  async fillSignal({ name, data, custom = false, messageType }: SignalToSend): Promise<Locator> {
    const dialog = await this.chooseAmong('Signal');
    if (custom) {
      await dialog.getByRole('option', { name: /^Custom/ }).click();
      await dialog.getByRole('textbox', { name: 'Signal name' }).fill(name);
    } else {
      await dialog.getByRole('option', { name: new RegExp(`^${name} `) }).click();
    }
    if (messageType !== undefined) {
      await dialog.getByText('json/protobuf').click();
      await dialog.getByRole('textbox', { name: 'Message Type' }).fill(messageType);
    }
    if (data !== '') {
      await dialog.locator('.cm-content').click();
      await this.page.keyboard.insertText(data);
    }
    return dialog;
  }
  /** Opens the list of what can be sent. */
  async chooseAmong(kind: 'Signal' | 'Update'): Promise<Locator> {
    await this.page.getByRole('button', { name: 'More Actions' }).click();
    await this.page.getByRole('menuitem', { name: new RegExp(`^Send an? ${kind}$`) }).click();
    const dialog = this.page.getByRole('dialog', { name: new RegExp(`^Send an? ${kind}$`) });
    await dialog.getByRole('button', { name: /^Select an? / }).click();
    return dialog;
  }
  async cancel(dialog: Locator): Promise<void> {
    await dialog.getByRole('button', { name: 'Cancel' }).last().click();
    await dialog.waitFor({ state: 'hidden' });
  }
  async submit(dialog: Locator): Promise<void> {
    await dialog.getByRole('button', { name: 'Submit' }).click();
    await dialog.waitFor({ state: 'hidden' });
  }
  async send(signal: SignalToSend): Promise<void> {
    await this.submit(await this.fillSignal(signal));
  }

  async picture(name: string): Promise<void> {
    mkdirSync(PICTURES, { recursive: true });
    await Promise.all(this.page.frames().map((frame: Frame) => frame.waitForLoadState()));
    await this.page.screenshot({ path: `${PICTURES}${name}.png`, animations: 'disabled' });
  }
}
