// A Chromium without a window, driven by its DevTools protocol over a pipe: it ends with the program that drives it.

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Browser {
  #next = 0;
  #waiting = new Map();
  #pages = new Map();

  static start() {
    const browser = new Browser();
    browser.profile = mkdtempSync(join(tmpdir(), "dashboard-"));
    browser.process = spawn("chromium", [...FLAGS, `--user-data-dir=${browser.profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
      env: { ...process.env, HOME: browser.profile },
    });
    // What it says about itself is shown if it does not start.
    browser.process.stderr.on("data", () => {});
    let rest = "";
    browser.process.stdio[4].setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      messages.forEach((message) => browser.#take(JSON.parse(message)));
    });
    return browser;
  }

  #take({ id, result, error, method, params, sessionId }) {
    if (id === undefined) {
      this.#pages.get(sessionId)?.take(method, params);
      return;
    }
    const { resolve, reject, what } = this.#waiting.get(id);
    this.#waiting.delete(id);
    return error ? reject(new Error(`${what}: ${error.message}`)) : resolve(result);
  }

  send(method, params = {}, sessionId = undefined) {
    this.#next += 1;
    const id = this.#next;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, what: method }));
  }

  /** A page of its own, with nothing remembered of others. */
  async page() {
    const { browserContextId } = await this.send("Target.createBrowserContext");
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page((method, params) => this.send(method, params, sessionId));
    this.#pages.set(sessionId, page);
    for (const domain of ["Page", "Runtime", "Network", "Log"]) {
      await page.send(`${domain}.enable`);
    }
    await page.send("Emulation.setScrollbarsHidden", { hidden: true });
    await page.viewport(1280, 800);
    return page;
  }

  async end() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.send("Browser.close").catch(() => {});
    await ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

export class Page {
  /** Addresses that were asked for. */
  asked = [];
  /** What the console complained of, and what was thrown and not caught. */
  complaints = [];

  constructor(send) {
    this.send = send;
  }

  take(method, params) {
    if (method === "Network.requestWillBeSent") {
      this.asked.push(params.request.url);
    } else if (method === "Network.webSocketCreated") {
      this.asked.push(params.url);
    } else if (method === "Runtime.exceptionThrown") {
      const { text, exception } = params.exceptionDetails;
      this.complaints.push(`${text} ${exception?.description ?? ""}`);
    } else if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(params.type)) {
      this.complaints.push(params.args.map((arg) => arg.value ?? arg.description).join(" "));
    } else if (method === "Log.entryAdded" && params.entry.level === "error") {
      this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    }
  }

  async go(url) {
    await this.send("Page.navigate", { url });
    await this.until(() => document.readyState === "complete", "the page is loaded");
  }

  /** Runs a function in the page, with arguments that JSON has. */
  async run(task, ...args) {
    const expression = `(${task})(...${JSON.stringify(args)})`;
    const answer = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (answer.exceptionDetails) {
      throw new Error(`in the page: ${answer.exceptionDetails.exception?.description ?? answer.exceptionDetails.text}`);
    }
    return answer.result.value;
  }

  /** Waits until a function of the page gives something true, and gives that. */
  async until(task, what, ...args) {
    const end = Date.now() + PATIENCE_MS;
    let failure = "";
    while (Date.now() < end) {
      try {
        const found = await this.run(task, ...args);
        if (found) {
          return found;
        }
      } catch (error) {
        // The page may be on its way to another one.
        failure = ` (${error.message})`;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const text = await this.run(() => document.body.innerText).catch(() => "");
    const said = text.replaceAll("\n", " · ").slice(0, TEXT_SHOWN_MAX);
    throw new Error(`it did not come to it that ${what}${failure}; the page says: ${said}\nand complains: ${this.complaints.join("\n")}`);
  }

  /** Waits until some text can be read. */
  reads(text) {
    return this.until((text) => document.body.innerText.includes(text), `one reads “${text}”`, text);
  }

  async press(key, more = {}) {
    const [code, keyCode, text] = KEYS[key] ?? [`Key${key.toUpperCase()}`, key.toUpperCase().charCodeAt(0), key];
    const event = { key, code, windowsVirtualKeyCode: keyCode, ...more };
    await this.send("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", text, ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  type(text) {
    return this.send("Input.insertText", { text });
  }

  /** Clicks where the element is. */
  async click(selector, text = "") {
    const place = await this.until((selector, text) => {
      const element = [...document.querySelectorAll(selector)].find((one) => one.textContent.includes(text) && one.checkVisibility());
      if (!element || element.disabled) {
        return null;
      }
      element.scrollIntoView({ block: "center" });
      const box = element.getBoundingClientRect();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    }, `there is ${selector} “${text}”`, selector, text);
    const event = { ...place, button: "left", clickCount: 1 };
    await this.send("Input.dispatchMouseEvent", { type: "mousePressed", ...event });
    await this.send("Input.dispatchMouseEvent", { type: "mouseReleased", ...event });
  }

  /** Puts a text in the place of what a field has. */
  async enter(selector, text) {
    await this.until((selector) => {
      const element = document.querySelector(selector);
      element?.focus();
      element?.select?.();
      return document.activeElement === element && element;
    }, `there is ${selector}`, selector);
    await this.type(text);
  }

  viewport(width, height, isPhone = false) {
    return this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: isPhone ? 2 : 1, mobile: isPhone });
  }

  /** As a machine would have it that likes things dark, or light. */
  scheme(value) {
    return this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
  }

  async shoot(file, isWhole = true) {
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: isWhole });
    writeFileSync(file, Buffer.from(data, "base64"));
  }
}

const flagLines = readFileSync(new URL("../../chromium.flags", import.meta.url), "utf8").split("\n");
const FLAGS = [...flagLines.filter((line) => line.startsWith("--")), "--remote-debugging-pipe"];

/** Code, number and text of keys that are no letters. */
const KEYS = {
  Tab: ["Tab", 9],
  Enter: ["Enter", 13, "\r"],
  Escape: ["Escape", 27],
  " ": ["Space", 32, " "],
  ArrowLeft: ["ArrowLeft", 37],
  ArrowUp: ["ArrowUp", 38],
  ArrowRight: ["ArrowRight", 39],
  ArrowDown: ["ArrowDown", 40],
  Home: ["Home", 36],
  End: ["End", 35],
};

/** Of the page, where something else was expected. */
const TEXT_SHOWN_MAX = 2000;
/** A browser takes its time on a machine that does much else. */
const PATIENCE_MS = 30_000;
