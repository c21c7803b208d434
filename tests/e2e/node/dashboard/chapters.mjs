// What is done with the dashboard in a browser, chapter by chapter: `node chapters.mjs CHAPTER`, with what it needs to know as JSON in
// DASHBOARD. It ends with 0 if all was as it should be.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { ACTS } from "./acts.mjs";
import { Browser } from "./browser.mjs";
import { READINGS } from "./readings.mjs";
import { IS_ABOUT, LOAD, PAGES, about, base, isUntouched, reload, signIn, signedIn, token, visit } from "./steps.mjs";

/** Every filter once, although each shard knows those of all; and a chart of bytes ends at a round number of its unit. */
async function counts(page) {
  await page.until(async (token) => {
    const answer = await fetch("/v1/subscriptions?limit=1000", { headers: { Authorization: `Bearer ${token}` } });
    const filters = new Set((await answer.json()).subscriptions.map((row) => row.filter));
    const tile = [...document.querySelectorAll(".tile")].find((one) => one.innerText.startsWith("Subscriptions"));
    return filters.size > 0 && tile.innerText.includes(`\n${filters.size} filter`);
  }, "each filter counts once", token);
  const top = await page.until(() => [...document.querySelectorAll("figure .top")].map((one) => one.innerText).find((text) => text.endsWith("B/s")), "the chart of bytes has a top");
  assert.match(top, /^([125]|[125]0|[125]00|1,000)(\.0)? \w+\/s$/);
}

/** What only comes when something is pressed: each is checked, and what is told is told aloud. */
async function opened(page, check) {
  await visit(page, [`#/clients/${encodeURIComponent(about.victim)}`, "Last packets"]);
  await page.click(".tools button", "Disconnect");
  await page.until(() => document.querySelector("dialog[open]"), "there is a question");
  await check("a question");
  await page.press("Escape");
  await visit(page, ["#/topics", about.topic.split("/")[0]]);
  await page.click(".row", about.topic.split("/")[1]);
  await page.until((payload) => document.querySelector("[aria-live=polite] pre")?.innerText.includes(payload), "the message is told", about.payload);
  await check("the message of a topic");
  await visit(page, ["#/bans", about.banned]);
  await page.run(() => void (document.querySelector("select[name=kind]").value = "address"));
  await page.enter("input[name=whom]", "no address");
  await page.click("button", "Ban");
  await page.until(() => document.querySelector("form + div [role=alert]")?.innerText, "what is wrong is told");
  await check("what is wrong");
  assert.equal(await page.run(() => document.getElementById("said").ariaLive), "polite", "what is done is told");
}

/** Pictures of every page for whoever wants to look. */
async function shoot(page) {
  mkdirSync(about.folder, { recursive: true });
  for (const [name, width, isPhone, scheme] of [["light", 1280, false, "light"], ["dark", 1280, false, "dark"], ["phone", 390, true, "light"], ["phone-dark", 390, true, "dark"]]) {
    await page.viewport(width, 800, isPhone);
    await page.scheme(scheme);
    for (const one of PAGES) {
      await visit(page, one);
      const title = one[0].split("/")[2] ? "client" : one[0].split("/")[1] || "overview";
      await page.shoot(join(about.folder, `${title}-${name}.png`));
    }
  }
}

const CHAPTERS = {
  ...ACTS,
  ...READINGS,

  async signing(page) {
    await signIn(page, "iothub_wrong");
    await page.reads("not known");
    assert.match(page.complaints.pop(), /401/);
    await signedIn(page);
    assert(!(await page.run(() => location.href)).includes(token), "the token is in the address");
    assert.equal(await page.run(() => JSON.stringify(localStorage).includes("iothub_")), false);
    await page.go(`${base}/ui/#/shards`);
    await reload(page);
    await page.reads("publish_received");
    await page.click("button", "Sign out");
    await page.reads("It asks for a token");
    assert.equal(await page.run(() => sessionStorage.length), 0);
    // A token that is not known any more leads back to where one is asked for.
    await signedIn(page);
    await page.run(() => void (location.hash = "#/clients"));
    await page.run(() => sessionStorage.setItem("iothub.token", "iothub_gone"));
    await reload(page);
    await page.reads("not known");
    page.complaints.length = 0;
    await isUntouched(page);
  },

  async pages(page) {
    await signedIn(page);
    await counts(page);
    for (const one of PAGES) {
      await visit(page, one);
      assert.equal(await page.run(() => document.querySelectorAll("h1").length), 1, one[0]);
      assert.equal(await page.run(() => document.querySelector("main img, main script")), null, `${one[0]}: a text has become markup`);
      assert.equal(await page.run(() => document.querySelector(".problem")?.innerText ?? ""), "", one[0]);
    }
    await visit(page, ["#/topics", about.topic.split("/")[0]]);
    // A small tree is open from the beginning.
    await page.click(".row", about.topic.split("/")[1]);
    await page.reads(about.payload);
    if (about.folder) {
      await shoot(page);
    }
    await isUntouched(page);
  },

  /** Client ids that mean something in addresses, in markup and to eyes, and one that is as long as MQTT has it. */
  async names(page) {
    await signedIn(page);
    await visit(page, ["#/clients", about.victim]);
    for (const name of about.names) {
      const shown = await page.until((name) => {
        const href = `#/clients/${encodeURIComponent(name)}`;
        return [...document.querySelectorAll("tbody a")].find((one) => one.getAttribute("href") === href)?.innerText;
      }, `${name.slice(0, 40)} is listed`, name);
      assert(shown.length < 300, "a long one is cut");
      await page.run((name) => [...document.querySelectorAll("tbody a")].find((one) => one.getAttribute("href") === `#/clients/${encodeURIComponent(name)}`).click(), name);
      await page.until(() => document.querySelector("h1 .raw") && document.body.innerText.includes("Last packets"), `${name.slice(0, 40)} is shown`);
      assert(await page.run(() => document.documentElement.scrollWidth <= innerWidth), `${name.slice(0, 40)} fits`);
      assert.equal(await page.run(() => document.querySelector(".problem")?.innerText ?? ""), "");
      await page.click(".tools button", "End the session");
      await page.click("dialog button", "End the session");
      await page.until(() => document.getElementById("said").innerText === "The session has ended.", "it is said to be done");
      await page.run(() => void (document.getElementById("said").textContent = ""));
      if (Buffer.byteLength(name) <= 256) {
        await page.reads("The session has ended");
        await page.reads("an operator has ended it");
      } else {
        await page.reads("nothing is remembered of one that has ended");
      }
      await visit(page, ["#/clients", about.victim]);
      await page.until((name) => ![...document.querySelectorAll("tbody a")].some((one) => one.getAttribute("href") === `#/clients/${encodeURIComponent(name)}`), "it is gone", name);
    }
    page.complaints = page.complaints.filter((text) => !text.includes("404"));
    await isUntouched(page);
  },

  /** What would show nothing is seen, and what would become too large stays small. */
  async heavy(page) {
    await signedIn(page);
    await visit(page, ["#/clients", "adm\\u{ad}in"]);
    await visit(page, [`#/topics`, "bomb"]);
    await page.click(".row", "bomb");
    await page.until(() => document.querySelector("pre.payload")?.innerText.startsWith("[[[["), "the payload is shown");
    assert(await page.run(() => document.querySelector("pre.payload").textContent.length < 300_000));
    const lengths = await page.run(async (base) => {
      const { indentedLength } = await import(`${base}/ui/format.js`);
      const texts = ['{"a":[1,{"b":"[,]\\\\\\""}],"c":[]}', "[]", '["x",[[[1,2]]]]'];
      return texts.map((text) => [indentedLength(text), JSON.stringify(JSON.parse(text), null, 2).length]);
    }, base);
    lengths.forEach(([most, real]) => assert(real <= most && most <= 2 * real + 8, `${real} of ${most}`));
    await visit(page, ["#/nopage", "There is no page at this address"]);
    const axis = await page.run(async (base) => {
      const { chart } = await import(`${base}/ui/chart.js`);
      const one = chart({ title: "t", format: String, lines: [{ name: "n", value: (sample) => sample.value }] });
      const moment = new Date(2026, 0, 1, 12, 0, 0).getTime();
      one.show([0, 2, 30].map((second) => ({ at: second * 1000, moment: moment + second * 1000, value: 1 })));
      const [begin, end] = [...one.element.querySelectorAll(".axis span")].map((place) => place.textContent);
      return { begin, end, path: one.element.querySelector(".line").getAttribute("d").replace(/ [0-9.]+/g, "") };
    }, base);
    assert.deepEqual(axis, { begin: "11:59:30", end: "12:00:30", path: "M300.0L320.0L600.0" });
    // A broker without a database of users.
    await page.run(() => {
      const ask = window.fetch;
      window.fetch = async (url, options) => String(url).startsWith("/v1/broker") ? Response.json({ has_user_database: false }) : ask(url, options);
    });
    await visit(page, ["#/users", "The broker keeps no users of its own"]);
    assert.equal(await page.run(() => document.querySelector("main .loading") ?? document.querySelector("main input")?.checkVisibility() ?? null), false);
    await visit(page, ["#/publish", "No listener of this broker speaks WebSocket"]);
    await page.reads('address = "ws://127.0.0.1:8083"');
    await isUntouched(page);
  },

  async why(page) {
    await signedIn(page);
    await visit(page, [`#/clients/${encodeURIComponent(about.victim)}`, "Last packets"]);
    await page.enter("input[name=why-topic]", "victim/a");
    await page.press("Enter");
    await page.reads("It would get it now");
    assert(await page.run(() => document.querySelectorAll(".steps li.yes").length > 2), "step by step");
    await page.enter("input[name=why-size]", "2000000");
    await page.press("Enter");
    await page.reads("server.max_packet_size");
    await page.reads("It would not get it");
    await page.enter("input[name=why-size]", "10");
    await page.press("Enter");
    await page.reads("It would get it now");
    await page.enter("input[name=why-topic]", "other/a");
    await page.enter("input[name=why-publisher]", "nobody");
    await page.press("Enter");
    await page.reads("It would not get it");
    assert(await page.run(() => document.querySelectorAll(".steps li.no").length >= 1 && document.querySelectorAll(".steps").length === 2));
    await page.enter("input[name=why-topic]", "a/#");
    await page.press("Enter");
    await page.until(() => document.querySelector("form + div .problem"), "it is said what is wrong");
    page.complaints = page.complaints.filter((text) => !text.includes("400"));
    await isUntouched(page);
  },

  async losses(page) {
    await signedIn(page);
    await visit(page, ["#/drops", "By client"]);
    await page.until((away) => {
      const row = [...document.querySelectorAll("tbody tr")].find((one) => one.innerText.includes(away));
      return row?.innerText.includes("offline_qos0") && row.innerText.match(/ago[^]*ago/);
    }, "the ledger has client, cause, first and last time", about.away);
    await page.reads("lost/here");
    const key = await page.run(() => [...document.querySelectorAll("figure .key > span")].map((one) => one.innerText.replace(/ [^ ]*$/, "")));
    assert.deepEqual(key, ["on the way to clients", "not taken in"], "the chart has both ways");
    await page.enter("input[name=prefix]", "nowhere");
    await page.reads("Nothing was lost on topics like that");
    await page.enter("input[name=prefix]", "st/he");
    await page.reads("lost/here");
    await page.enter("input[name=client_id]", "nobody");
    await page.reads("No client like that has lost anything");
    await page.enter("input[name=client_id]", "way");
    await page.click("tbody a", about.away);
    await page.reads("Topics that it lost something of last");
    await page.until(() => document.body.innerText.includes("lost/here/x"), "its topics are there");
    await isUntouched(page);
  },

  async happening(page) {
    await signedIn(page);
    await visit(page, ["#/events", "Topic filter"]);
    await page.until(() => document.querySelector(".feed > p")?.innerText === "" || document.querySelector(".log li"), "the stream is open");
    console.log("listening");
    await page.until(() => [...document.querySelectorAll(".log li")].some((one) => one.innerText.includes("a-guest") && one.innerText.includes("disconnected")), "a guest comes and goes");
    await page.click("button", "Pause");
    await page.reads("Paused");
    await page.click("button", "Go on");
    await page.enter("input[name=client_id]", "nobody");
    await page.until(() => document.querySelectorAll(".log li").length === 0, "nothing of nobody");
    await isUntouched(page);
  },

  /** Whoever may look may measure. */
  async rates(page) {
    await signedIn(page, about.viewer);
    await visit(page, ["#/topics", "retained message"]);
    await page.click("button", "Measure rates");
    const holds = `() => [...document.querySelectorAll(".tree .row")].some((row) => row.innerText.includes("loadgen") && (${IS_ABOUT})(row.querySelector(".rate").innerText, ${LOAD.messages}, "/s"))`;
    await page.until(holds, `the topics of the load have about ${LOAD.messages} messages a second`);
    await page.click("button", "Measure rates");
    await page.until(() => [...document.querySelectorAll(".tree .rate")].every((one) => one.innerText === ""), "nothing is measured any more");
    await isUntouched(page);
  },

  /** The token is removed while somebody looks. */
  async revoked(page) {
    await signedIn(page, about.viewer);
    await visit(page, ["#/events", "Topic filter"]);
    console.log("ready");
    await page.reads("It asks for a token");
    await page.reads("not known");
    assert.equal(await page.run(() => sessionStorage.length), 0);
    page.complaints.length = 0;
    await isUntouched(page);
  },

  async roles(page) {
    await signedIn(page, about.viewer);
    const texts = async (hash) => {
      await visit(page, PAGES.find(([one]) => one === hash));
      return page.run(() => [...document.querySelectorAll("button, nav a")].filter((one) => one.checkVisibility()).map((one) => one.innerText));
    };
    for (const [hash] of PAGES.filter(([hash]) => hash !== "#/users")) {
      const found = await texts(hash);
      assert(found.includes("Users"), "a viewer sees everything");
      for (const forbidden of ["Disconnect", "End the session", "Ban", "Delete what matches"]) {
        assert(!found.includes(forbidden), `${hash} offers a viewer “${forbidden}”`);
      }
    }
    await visit(page, ["#/users", "carla"]);
    const offered = await page.run(() => document.querySelectorAll("main button, main [type=password]").length - document.querySelectorAll("main .pager button").length);
    assert.equal(offered, 0, "users are looked at");
    await isUntouched(page);
  },

  async disconnect(page) {
    await signedIn(page);
    await visit(page, [`#/clients/${encodeURIComponent(about.victim)}`, "Last packets"]);
    await page.click("button", "Disconnect");
    await page.reads("Disconnect this client?");
    await page.press("Escape");
    await page.until(() => !document.querySelector("dialog"), "the dialog is closed");
    assert.equal(await page.run(() => document.activeElement.innerText), "Disconnect", "the focus is where it was");
    await page.click(".tools button", "Disconnect");
    await page.click("dialog button", "Disconnect");
    await page.until(() => document.getElementById("said").innerText.includes("is disconnected"), "it is said to be done");
    page.complaints = page.complaints.filter((text) => !text.includes("404"));
    await isUntouched(page);
  },

  async narrow(page) {
    await page.viewport(390, 844, true);
    await signedIn(page);
    for (const phone of [390, 360]) {
      await page.viewport(phone, 740, true);
      for (const one of [...PAGES, ["#/top?by=limit", "Sorted by"]]) {
        await visit(page, one);
        const width = await page.run(() => document.documentElement.scrollWidth);
        assert(width <= phone, `${one[0]} is ${width} wide on a phone of ${phone}`);
      }
    }
    await page.click("button", "Menu");
    await page.click("nav a", "Shards");
    await page.reads("publish_received");
    await isUntouched(page);
  },

  /** What a finger opens comes into sight, a field is large enough not to make the page grow, and Escape closes the menu. */
  async touch(page) {
    await page.viewport(390, 844, true);
    await page.send("Emulation.setTouchEmulationEnabled", { enabled: true });
    const small = () => page.run(() => [...document.querySelectorAll("input:not([type=checkbox]), select, textarea")].filter((one) => parseFloat(getComputedStyle(one).fontSize) < 16).map((one) => one.name));
    await page.go(`${base}/ui/`);
    await page.reads("It asks for a token");
    assert.deepEqual(await small(), [], "to sign in");
    await signedIn(page);
    for (const one of PAGES) {
      await visit(page, one);
      assert.deepEqual(await small(), [], one[0]);
    }
    await visit(page, ["#/topics", about.topic.split("/")[0]]);
    await page.click(".row", about.topic.split("/")[1]);
    await page.reads(about.payload);
    await page.until(() => {
      const { top, bottom } = document.querySelector("pre.payload").getBoundingClientRect();
      return top >= document.getElementById("top").getBoundingClientRect().bottom && bottom <= innerHeight;
    }, "the message is in sight");
    const isMenuSeen = () => page.run(() => document.getElementById("nav").checkVisibility());
    await page.click("button", "Menu");
    assert(await isMenuSeen(), "the menu is open");
    await page.press("Tab");
    await page.press("Escape");
    assert(!(await isMenuSeen()), "the menu is closed");
    assert.equal(await page.run(() => document.activeElement.id), "menu", "the focus is on what opened it");
    await isUntouched(page);
  },

  async colours(page) {
    const ground = () => page.run(() => getComputedStyle(document.body).backgroundColor);
    await page.scheme("light");
    await signedIn(page);
    const light = await ground();
    await page.scheme("dark");
    const dark = await ground();
    assert.notEqual(light, dark);
    const choose = (theme) =>
      page.run((theme) => {
        const control = document.querySelector("select[name=theme]");
        control.value = theme;
        control.dispatchEvent(new Event("change"));
      }, theme);
    await choose("light");
    assert.equal(await ground(), light);
    await choose("dark");
    await page.scheme("light");
    assert.equal(await ground(), dark);
    await reload(page);
    await page.until(() => document.querySelectorAll(".tile").length > 0, "the overview is there");
    assert.equal(await ground(), dark, "the choice is remembered");
    await isUntouched(page);
  },

  async keys(page) {
    await page.go(`${base}/`);
    await page.until(() => document.activeElement.name === "token", "the field has the focus");
    await page.type(token);
    await page.press("Enter");
    await page.until(() => document.querySelectorAll(".tile").length > 0, "the overview is there");
    // From the top: the way past the menu comes first.
    await page.run(() => void (document.activeElement.blur(), window.scrollTo(0, 0), document.getElementById("skip").focus()));
    assert(await page.run(() => document.activeElement.getBoundingClientRect().top >= 0), "the way past the menu is seen");
    await page.press("Enter");
    assert.equal(await page.run(() => document.activeElement.id), "main");
    const tabTo = async (text) => {
      for (let at = 0; at < 60; at += 1) {
        const { name, outline } = await page.run(() => ({
          name: document.activeElement.innerText,
          outline: getComputedStyle(document.activeElement).outlineStyle,
        }));
        if (name === text) {
          assert.equal(outline, "solid", `the focus on “${text}” is seen`);
          return;
        }
        await page.press("Tab");
      }
      assert.fail(`no way to “${text}” by keys`);
    };
    await page.run(() => document.getElementById("skip").focus());
    await page.press("Tab");
    await tabTo("Clients");
    await page.press("Enter");
    await page.reads(about.client);
    await tabTo(about.client);
    await page.press("Enter");
    await page.reads("Last packets");
    assert.equal(await page.run(() => document.activeElement.tagName), "H1");
    await tabTo("End the session");
    await page.press("Enter");
    await page.until(() => document.querySelector("dialog[open]")?.contains(document.activeElement), "the dialog has the focus");
    await page.press("Escape");
    await page.until(() => document.activeElement.innerText === "End the session", "the focus is where it was");
    await visit(page, ["#/topics", about.topic.split("/")[0]]);
    await page.until(() => document.querySelector("[role=treeitem]"), "there is a tree");
    await page.run(() => document.querySelector("[role=treeitem][tabindex='0']").focus());
    await page.press("End");
    await page.press("Home");
    for (let at = 0; at < 20 && (await page.run(() => document.activeElement.querySelector(".raw").innerText)) !== about.topic.split("/")[0]; at += 1) {
      await page.press("ArrowDown");
    }
    await page.press("ArrowRight");
    await page.press("ArrowRight");
    await page.press("Enter");
    await page.reads(about.payload);
    await isUntouched(page);
  },

  async audit(page) {
    const source = readFileSync(join(process.env.CLIENTS_NODE, "node_modules/axe-core/axe.min.js"), "utf8");
    // The auditor makes elements of its own, which the page's policy forbids.
    await page.send("Page.setBypassCSP", { enabled: true });
    const check = async (what) => {
      await page.send("Runtime.evaluate", { expression: source });
      const found = await page.run(async () => {
        const { violations } = await axe.run(document, { resultTypes: ["violations"] });
        return violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map((node) => node.html).slice(0, 3).join(" | ")}`);
      });
      assert.deepEqual(found.filter((one) => /^(serious|critical)|heading-order/.test(one)), [], what);
    };
    for (const scheme of ["light", "dark"]) {
      await page.scheme(scheme);
      await page.go(`${base}/ui/`);
      await page.reads("It asks for a token");
      await check(`sign in, ${scheme}`);
      await signedIn(page);
      for (const [width, isPhone] of [[1280, false], [360, true]]) {
        await page.viewport(width, 800, isPhone);
        for (const one of PAGES) {
          await visit(page, one);
          await check(`${one[0]}, ${scheme}, ${width} wide`);
        }
      }
      await page.click("button", "Menu");
      await check(`the open menu, ${scheme}`);
      await page.viewport(1280, 800);
      await opened(page, (what) => check(`${what}, ${scheme}`));
      await page.click("button", "Sign out");
    }
  },

  async people(page) {
    await signedIn(page);
    await visit(page, ["#/users", "There are no users yet"]);
    await page.enter("input[name=name]", "anna");
    await page.enter("input[name=password]", "a long password");
    await page.enter("input[name=groups]", "staff, day shift");
    await page.click("button", "Add");
    await page.reads("day shift");
    await page.click("td button", "Change");
    await page.enter("dialog input[name=groups]", "night shift");
    await page.click("dialog button", "Change");
    await page.until(() => !document.querySelector("dialog"), "the dialog is closed");
    await page.reads("night shift");
    await page.enter("input[name=name]", about.client);
    await page.enter("input[name=password]", "a long password");
    await page.click("button", "Add");
    await page.until((name) => document.querySelectorAll("tbody tr").length === 2, "there are two");
    await page.run(() => document.querySelector("button[aria-label^='Delete <']").click());
    await page.click("dialog button", "Delete");
    await page.until(() => document.querySelectorAll("tbody tr").length === 1 && !document.querySelector("dialog"), "there is one");
    await visit(page, ["#/bans", about.banned]);
    await page.enter("input[name=whom]", "10.9.0.0/16");
    await page.run(() => void (document.querySelector("select[name=kind]").value = "address"));
    await page.click("button", "Ban");
    await page.reads("10.9.0.0/16");
    await page.enter("input[name=whom]", "no address");
    await page.click("button", "Ban");
    await page.until(() => document.querySelector("form + div .problem"), "it is said what is wrong");
    await page.enter("input[name=whom]", "10.9.1.0/24");
    await page.click("button", "Ban");
    for (const [banned, said] of [
      ["10.9.1.0/24", "The ban is lifted, and another one still keeps the same out."],
      ["10.9.0.0/16", "The ban is lifted."],
    ]) {
      await page.reads(banned);
      await page.run((banned) => document.querySelector(`button[aria-label='Lift the ban of ${banned}']`).click(), banned);
      await page.click("dialog button", "Lift the ban");
      await page.until((said) => document.getElementById("said").innerText === said, `it is said: ${said}`, said);
      await page.until((banned) => !document.querySelector("main").innerText.includes(banned), "the ban is gone", banned);
    }
    page.complaints = page.complaints.filter((text) => !text.includes("400"));
    await isUntouched(page);
  },

  async exchange(page) {
    await signedIn(page);
    await visit(page, ["#/publish", "Address"]);
    await page.until(() => document.querySelector("input[name=url]").value.startsWith("ws://"), "the address is known");
    await page.click("button", "Connect");
    await page.until(() => document.querySelector("p.state")?.innerText === "connected", "it is connected");
    const marked = await page.run(() => [document.activeElement.name, document.getSelection().toString()]);
    assert.deepEqual(marked, ["filter", "#"], "whoever types a filter replaces what is there");
    await page.click("input[name=filter]");
    await page.type("page/#/#");
    await page.click("button", "Subscribe");
    await page.reads("# stands at the end, as in house/#");
    assert(await page.run(() => document.querySelector("p.state").innerText === "connected"), "the broker is not asked what would end the connection");
    await page.enter("input[name=filter]", "page/#");
    assert.equal(await page.run(() => document.querySelector(".problem")), null, "what was wrong is so no more");
    await page.run(() => void (document.querySelector("select[name=qos]").value = "1"));
    await page.click("button", "Subscribe");
    await page.reads("page/#");
    await page.enter("input[name=topic]", "page/+");
    await page.click("button", "Publish");
    await page.reads("A message goes to one topic");
    await page.enter("input[name=topic]", "page/<b>one</b>");
    await page.enter("textarea[name=payload]", "<img src=x onerror=window.hacked=1> äöü");
    await page.click("button", "Publish");
    await page.until(() => document.querySelector(".messages pre")?.innerText.includes("äöü"), "the message is there");
    await page.run(() => void (document.querySelectorAll("select[name=qos]")[1].value = "0"));
    await page.enter("textarea[name=payload]", "unsure");
    await page.click("button", "Publish");
    await page.until(() => document.getElementById("said").innerText === "Sent.", "nobody has said that it was published");
    const notes = await page.run(async (base) => {
      const { announce } = await import(`${base}/ui/dom.js`);
      ["one", "another", "a third"].forEach(announce);
      return [...document.querySelectorAll(".note")].map((one) => one.getBoundingClientRect()).map(({ top, bottom }) => ({ top, bottom }));
    }, base);
    notes.slice(1).forEach(({ top }, at) => assert(notes[at].bottom <= top, "no note lies on another one"));
    assert(notes.length >= 3 && notes.at(-1).bottom <= 800, "all of them are in sight");
    await page.until(() => [...document.querySelectorAll(".messages pre")].some((one) => one.innerText === "unsure"), "it is there nevertheless");
    // Another connection has what the one before had, and one filter is one subscription.
    await page.click("button", "Subscribe");
    await page.enter("input[name=topic]", "#");
    await page.click("button", "Publish");
    await page.reads("A message goes to one topic");
    await page.click("button", "Disconnect");
    await page.click("button", "Connect");
    await page.until(() => document.querySelector("p.state")?.innerText === "connected" && document.querySelector(".chips li"), "it is connected again, and has its subscription");
    assert.deepEqual(await page.run(() => [...document.querySelectorAll(".chips li .raw")].map((one) => one.innerText)), ["page/#"]);
    assert.equal(await page.run(() => document.querySelector(".problem")), null, "what was wrong before is not wrong any more");
    await page.click("button", "Clear");
    console.log("seen");
    // From elsewhere come as many as do not fit.
    await page.reads("299 messages");
    await page.until(() => document.querySelectorAll(".messages li").length === 200, "the list is bounded");
    await page.click("button", "Disconnect");
    await page.reads("not connected: you left");
    await page.enter("input[name=url]", "ws://127.0.0.1:1/mqtt");
    await page.click("button", "Connect");
    await page.reads("no WebSocket could be opened there");
    page.complaints = page.complaints.filter((text) => !text.includes("ws://127.0.0.1:1/"));
    await isUntouched(page);
  },

  async gone(page) {
    await signedIn(page);
    console.log("ready");
    await page.reads("The broker does not answer");
    assert(await page.run(() => document.querySelectorAll(".tile").length > 0), "what was said last is still there");
    console.log("gone");
    await page.until(() => document.getElementById("lost").hidden, "the broker answers again");
    for (const title of ["Connections", "Messages per second"]) {
      await page.until((title) => {
        const figure = [...document.querySelectorAll("figure")].find((one) => one.querySelector("h2").innerText === title);
        return [".line", ".area"].every((part) => figure.querySelector(part).getAttribute("d").split("M").length === 3);
      }, `${title}: nothing is drawn across the time in which nobody answered`, title);
    }
    page.complaints.length = 0;
    await isUntouched(page);
  },

};

const [chapter] = process.argv.slice(2);
const browser = Browser.start();
try {
  await CHAPTERS[chapter](await browser.page());
} catch (error) {
  console.error(error.stack);
  process.exitCode = 1;
} finally {
  await browser.end();
}
