// Shows the state that the server tells, every two seconds. Names, paths and reasons are other people's
// texts: they only ever become text nodes. Rows are kept and changed in place, so that what somebody
// reads, has selected or has the focus on stays where it is.

const EVERY = 2000; // milliseconds between two questions
const PATIENCE = 5000; // milliseconds to wait for an answer
const MANY = 8; // rows from which a table can be filtered

const NONE = "–"; // where there is no figure

const $ = (id) => document.getElementById(id);
const put = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const make = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};
const list = (node, texts) => {
  if (node.childElementCount === texts.length && texts.every((text, at) => node.children[at].textContent === text)) return;
  node.replaceChildren(...texts.map((text) => make("li", { textContent: text })));
};

const span = (seconds) => {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  return whole < 172800 ? `${Math.round(whole / 3600)} h` : `${Math.round(whole / 86400)} days`;
};
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const clock = (epoch) => new Date(epoch * 1000).toISOString().slice(11, 19) + " UTC";
const day = (epoch) => new Date(epoch * 1000).toISOString().slice(0, 10);
const latency = (seconds) => {
  if (seconds === null) return NONE;
  if (seconds >= 10) return "≥ 10 s";
  return seconds >= 1 ? `${seconds.toFixed(1)} s` : `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
};
const rate = (perSecond) => {
  if (perSecond === null) return NONE;
  return perSecond >= 10 || perSecond === 0 ? perSecond.toFixed(0) : perSecond.toFixed(perSecond < 1 ? 2 : 1);
};
const share = (part) => {
  if (!part) return "0 %";
  return part < 0.01 ? "< 1 %" : `${Math.round(part * 100)} %`;
};

// A table of keyed rows. Each column: [heading, how a cell is filled, class]; the first heads its row.
class Board {
  constructor(place, caption, columns, empty) {
    this.columns = columns;
    this.rows = new Map();
    this.body = make("tbody");
    this.body.setAttribute("role", "rowgroup");
    const heads = columns.map(([heading, , kind = ""]) => role(make("th", { scope: "col", textContent: heading, className: kind }), "columnheader"));
    const top = role(make("thead", {}, role(make("tr", {}, ...heads), "row")), "rowgroup");
    this.table = role(make("table", {}, make("caption", { textContent: caption }), top, this.body), "table");
    this.empty = make("p", { className: "note", textContent: empty });
    this.count = make("span", {});
    this.count.setAttribute("role", "status");
    this.input = make("input", { type: "search", autocomplete: "off", spellcheck: false });
    this.input.addEventListener("input", () => this.sift());
    this.filter = make("div", { className: "filter", hidden: true }, make("label", {}, `Filter ${caption.split(",")[0].toLowerCase()} `, this.input), this.count);
    place.classList.add("table");
    place.append(this.filter, this.empty, this.table);
  }

  show(items, key) {
    const seen = new Set();
    const focus = this.body.contains(document.activeElement) ? document.activeElement : null;
    let before = this.body.firstElementChild;
    for (const item of items) {
      const name = key(item);
      seen.add(name);
      const row = this.rows.get(name) ?? this.add(name);
      this.columns.forEach(([, fill], at) => fill(row.cells[at].firstElementChild, item, row.cells[at]));
      if (row === before) before = row.nextElementSibling;
      else this.body.insertBefore(row, before);
    }
    for (const [name, row] of this.rows) if (!seen.has(name)) { row.remove(); this.rows.delete(name); }
    if (focus && focus !== document.activeElement && focus.isConnected) focus.focus({ preventScroll: true });
    this.table.hidden = !items.length;
    this.empty.hidden = items.length > 0;
    this.filter.hidden = items.length < MANY;
    this.sift();
  }

  add(name) {
    const cells = this.columns.map(([heading, , kind = ""], at) => {
      const cell = make(at ? "td" : "th", { className: kind }, make("div"));
      if (!at) cell.scope = "row";
      cell.dataset.label = heading;
      return role(cell, at ? "cell" : "rowheader");
    });
    const row = role(make("tr", {}, ...cells), "row");
    this.rows.set(name, row);
    return row;
  }

  sift() {
    const wanted = this.filter.hidden ? "" : this.input.value.trim().toLowerCase();
    let shown = 0;
    for (const row of this.rows.values()) {
      row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    put(this.count, wanted ? `${shown} of ${this.rows.size} shown` : "");
  }
}
const role = (node, name) => { node.setAttribute("role", name); return node; };

const words = (main, aside) => (cell, item) => {
  if (!cell.firstChild) cell.append(make("span"), make("small"));
  const [first, second] = cell.children;
  put(first, main(item));
  put(second, aside ? aside(item) : "");
  second.hidden = !second.textContent;
};
const text = (say) => (cell, item, around) => {
  put(cell, say(item));
  around.classList.toggle("none", cell.textContent === NONE);
};

const SIGNS = {
  ready: ["✓", "good"], stale: ["▲", "doubt"], idle: ["–", ""], cold: ["○", ""],
  failing: ["✗", "wrong"], refused: ["✗", "wrong"], revoked: ["■", "wrong"],
};
const TROUBLE = ["failing", "refused", "revoked", "stale"];
const severity = (user) => { const at = TROUBLE.indexOf(user.condition); return at < 0 ? TROUBLE.length : at; };

const life = (cell, user) => {
  if (!cell.firstChild) {
    const bar = make("div", { className: "bar" }, make("i"), make("b"));
    bar.setAttribute("aria-hidden", "true");
    cell.append(make("span"), bar, make("small"));
  }
  const [left, bar, aside] = cell.children;
  const known = user.age !== null && user.expires_in !== null && user.expires_in > 0;
  const whole = known ? user.age + user.expires_in : 0;
  bar.hidden = !known;
  if (known) {
    bar.firstChild.style.width = `${(100 * user.expires_in) / whole}%`;
    const renews = user.renews_in;
    bar.lastChild.hidden = renews === null || renews < 0;
    if (renews !== null && renews >= 0) bar.lastChild.style.left = `${Math.max(0, (100 * (user.expires_in - renews)) / whole)}%`;
    put(left, `${span(user.expires_in)} of ${span(whole)} left`);
  } else {
    put(left, user.age === null ? "no token" : "no end known");
  }
  put(aside, user.age === null ? "" : `${span(user.age)} old`);
};

const renewal = (user) => {
  if (user.renews_in === null) {
    const ends = user.condition === "ready" && user.expires_in !== null;
    return ends && user.method !== "personal_access_token" ? "once used" : "none planned";
  }
  return user.renews_in < 0 ? "due now" : `in ${span(user.renews_in)}`;
};

const act = (cell, user) => {
  const revoked = user.condition === "revoked";
  if (!cell.firstChild) {
    const button = make("button", { type: "button", className: "small" });
    button.addEventListener("click", () => ask(button.dataset.user, button.dataset.does, button));
    cell.append(button);
  }
  const button = cell.firstChild;
  button.dataset.user = user.name;
  button.dataset.does = revoked ? "allow" : "revoke";
  button.hidden = !changes;
  put(button, revoked ? "Allow…" : "Revoke…");
  button.setAttribute("aria-label", `${revoked ? "Allow" : "Revoke"} ${user.name}`);
};

const users = new Board($("users"), "Service users, those in trouble first; a bar is what is left of a token's life, its mark when the token is renewed", [
  ["Service user", words((user) => user.name, (user) => `${user.method} at ${user.issuer}${user.credentials > 1 ? `, credential ${user.credential} of ${user.credentials}` : ""}`)],
  ["State", (cell, user) => {
    const [sign, kind] = SIGNS[user.condition] ?? ["?", ""];
    words(() => `${sign} ${user.condition}`, () => user.condition_words)(cell, user);
    cell.firstChild.className = `state ${kind}`;
  }],
  ["Token", life, "life"],
  ["Renewal", text(renewal)],
  ["Mints", words((user) => `${user.mints}`, (user) => (user.failures ? `${user.failures} failed` : "")), "number"],
  ["Last error", words((user) => (user.condition === "revoked" ? "none" : user.last_error || "none"), (user) => (user.credential_expires ? `credential ends ${day(user.credential_expires)}` : ""))],
  ["Change", act],
], "There are no service users.");

const routes = new Board($("routes"), "Routes, those with errors first; figures of the last minute, latencies by their histogram", [
  ["Route", words((route) => route.name || "no route matched", (route) => route.match)],
  ["Upstream", words((route) => route.upstream || "none", (route) => (route.service_user ? `as ${route.service_user}` : ""))],
  ["Requests/s", text((route) => rate(route.rate)), "number"],
  ["p50", text((route) => latency(route.p50)), "number"],
  ["p90", text((route) => latency(route.p90)), "number"],
  ["p99", text((route) => latency(route.p99)), "number"],
  ["Errors", (cell, route) => {
    words(() => (route.errors ? `✗ ${share(route.error_share)}` : "0 %"), () => (route.errors ? `${route.errors} of ${route.requests}` : ""))(cell, route);
    cell.firstChild.className = route.errors ? "state wrong" : "";
  }, "number"],
], "No routes are told of.");

const resting = (what) => (cell, item) => {
  put(cell, item.resting ? `✗ ${what}` : "✓ no trouble known");
  cell.className = item.resting ? "state wrong" : "";
};
const upstreams = new Board($("upstreams"), "Upstreams, by address", [
  ["Upstream", text((item) => item.address)],
  ["State", resting("unreachable, left alone for a while")],
  ["Busy", text((item) => `${item.active}`), "number"],
  ["Idle", text((item) => `${item.idle}`), "number"],
  ["Connecting", text((item) => `${item.connecting}`), "number"],
  ["Requests waiting", text((item) => `${item.waiting}`), "number"],
], "No upstreams are told of.");
const issuers = new Board($("issuers"), "Issuers, where tokens come from", [
  ["Issuer", text((item) => item.name)],
  ["State", resting("left alone after failures in a row")],
], "No issuers are told of.");

const ids = (cell, failure) => {
  if (!cell.firstChild) {
    const copy = make("button", { type: "button", className: "small", textContent: "Copy" });
    copy.addEventListener("click", async () => {
      const id = copy.dataset.id;
      try {
        await navigator.clipboard.writeText(id);
        put($("said"), `Copied ${id}`);
        put(copy, "Copied");
      } catch {
        getSelection().selectAllChildren(cell.firstChild);
        put($("said"), "Selected; copy it with the keyboard");
      }
      setTimeout(() => put(copy, "Copy"), 1500);
    });
    cell.append(make("span", { className: "id" }), " ", copy);
  }
  const [id, copy] = cell.children;
  put(id, failure.request_ids[0]);
  copy.dataset.id = failure.request_ids[0];
  copy.setAttribute("aria-label", `Copy request id ${failure.request_ids[0]}`);
};
const failures = new Board($("failures"), "Failures of late, one row a kind, the last of its kind shown", [
  ["What", words((failure) => `${failure.status} ${failure.code ?? "from the upstream"}`, (failure) => failure.reason)],
  ["Times", words((failure) => `${failure.times}`, (failure) => (failure.times > 1 ? `in ${span(failure.lasting)}` : "")), "number"],
  ["Last", words((failure) => `${span(failure.ago)} ago`, (failure) => clock(failure.at))],
  ["Request", words((failure) => (failure.method ? `${failure.method} ${failure.path}` : "no request"), (failure) => (failure.route ? `${failure.route} as ${failure.service_user}` : "no route"))],
  ["Request id", ids],
], "None since the start.");

// What is shown

let changes = false;
let seen = null; // the last state
let since = null; // since when nobody answers

const OUTCOMES = {
  started: "serves since the start", reloaded: "was taken over", unchanged: "says what serves already", rejected: "was refused",
};
const KINDS = { well: ["✓", "good"], trouble: ["!", "doubt"], starting: ["✗", "wrong"], draining: ["▼", "doubt"] };

const configuration = (config) => {
  $("config").hidden = config === null;
  if (config === null) return;
  const last = config.last;
  const refused = last.outcome === "rejected";
  const said = refused
    ? `✗ The configuration in ${config.origin} was refused at ${clock(last.at)}; generation ${config.generation} goes on serving.`
    : `✓ Generation ${config.generation} of ${config.origin} ${OUTCOMES[last.outcome] ?? last.outcome} (${day(last.at)} ${clock(last.at)}, asked by: ${last.trigger}).`;
  put($("config-line"), said);
  $("config-line").className = refused ? "state wrong" : "";
  $("problems").hidden = !last.problems.length;
  list($("problems").querySelector("ul"), last.problems);
  $("changes").hidden = !last.changes.length;
  list($("changes").querySelector("ul"), last.changes);
  $("warnings").hidden = !last.warnings.length;
  put($("warnings").querySelector("summary"), count(last.warnings.length, "warning"));
  list($("warnings").querySelector("ul"), last.warnings);
  $("reload").hidden = !changes;
};

const show = (state) => {
  seen = state;
  changes = state.changes;
  const [sign, kind] = KINDS[state.condition] ?? ["?", ""];
  put($("summary"), `${sign} ${state.summary}`);
  $("summary").className = `banner ${kind}`;
  list($("troubles"), state.troubles);
  document.title = `${sign} ${state.condition} · authproxy`;
  put($("version"), state.version);
  put($("numbers"), state.active === null ? "" : `${count(state.active, "request")} in flight, ${count(state.connections ?? 0, "connection")} of callers.`);
  configuration(state.config);
  users.show([...state.service_users].sort((one, other) => severity(one) - severity(other)), (user) => user.name);
  routes.show([...state.routes].sort((one, other) => (other.error_share || 0) - (one.error_share || 0)), (route) => route.name);
  upstreams.show([...state.upstreams].sort((one, other) => other.resting - one.resting), (item) => item.address);
  issuers.show([...state.issuers].sort((one, other) => other.resting - one.resting), (item) => item.name);
  failures.show(state.failures, (failure) => JSON.stringify([failure.route, failure.service_user, failure.status, failure.code]));
  put($("updated"), state.at === null ? "Live" : `State of ${clock(state.at)}`);
};

// Asking

let paused = false;
let timer = 0;

const get = (path, options = {}) => fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options });

const refresh = async () => {
  clearTimeout(timer);
  try {
    const response = await get("status.json");
    if (response.status === 401) throw new Error("wants the admin key: load this page again");
    if (!response.ok) throw new Error(`answers ${response.status}`);
    show(await response.json());
    since = null;
    $("lost").hidden = true;
  } catch (error) {
    since ??= Date.now() / 1000;
    const why = error.message.startsWith("wants") || error.message.startsWith("answers") ? error.message : "is not reachable";
    put($("lost"), `✗ The proxy ${why} since ${clock(since)}. What is below is how it was before.`);
    $("lost").hidden = false;
    document.title = "✗ not reachable · authproxy";
  }
  next();
};
const next = () => {
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(refresh, EVERY);
};
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) refresh(); });
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", `${paused}`);
  if (paused) clearTimeout(timer);
  else refresh();
});

// Changing

const change = async (path, done) => {
  try {
    const response = await get(path, { method: "POST" });
    const json = (response.headers.get("Content-Type") ?? "").includes("json");
    put($("said"), done(json ? await response.json() : null, response.ok) ?? `Refused: ${response.status}`);
  } catch {
    put($("said"), "The proxy did not answer; nothing is known of the change.");
  }
  await refresh();
};

const ask = (name, does, button) => {
  const revoke = does === "revoke";
  put($("confirm-title"), revoke ? `Revoke ${name}?` : `Allow ${name} again?`);
  put($("confirm-text"), revoke
    ? "Its tokens are dropped now, and its routes answer 503 until it is allowed again. The issuer is told nothing."
    : "It gets tokens again at once.");
  put($("yes"), revoke ? "Revoke" : "Allow");
  $("cut-line").hidden = !revoke;
  $("cut").checked = false;
  $("confirm").returnValue = "no";
  $("confirm").onclose = () => {
    button.focus();
    if ($("confirm").returnValue !== "yes") return;
    const cut = revoke && $("cut").checked ? "?streams=cut" : "";
    change(`service-users/${encodeURIComponent(name)}/${does}${cut}`, (told, well) => (well ? `${name} is ${told.condition}` : null));
  };
  $("confirm").showModal();
};

$("reload").addEventListener("click", async () => {
  $("reload").disabled = true;
  await change("reload", (told) => told && `The configuration ${OUTCOMES[told.outcome] ?? told.outcome}`);
  $("reload").disabled = false;
});

$("explain").addEventListener("submit", async (event) => {
  event.preventDefault();
  const query = new URLSearchParams([...new FormData($("explain"))].filter(([, value]) => value));
  try {
    const response = await get(`explain?${query}`, { headers: { Accept: "text/plain" } });
    put($("explained"), await response.text());
  } catch {
    put($("explained"), "The proxy did not answer.");
  }
  $("explained").hidden = false;
});

for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
show(JSON.parse($("state").textContent));
next();
