// The page: what is searched for lives in the address, and everything shown follows from it.

import * as api from "./api.js";
import { Grid } from "./grid.js";
import { listen } from "./intake.js";
import { pictureImage, show } from "./picture.js";
import { Viewer } from "./viewer.js";
import { weighed } from "./wording.js";

const PAGE_SIZE = 60;
const MOST = 480;
const PATIENCE_MS = 150; // a search faster than this shows no progress bar, which would only flicker

const part = (name) => document.getElementById(name);
const query = part("query");

const uploads = new Map(); // what history entries of uploaded pictures point to; gone after a reload
let served = null; // what the server says of itself
let asking = null; // the question under way
let wanted = null; // the search that is shown
let running = null; // the AbortController of the search under way

const viewer = new Viewer(part("viewer"), { similar: searchSimilar, closed: (position) => grid.focus(position) });
const grid = new Grid(part("grid"), {
  open: (position) => viewer.show(grid.pictures, position),
  similar: searchSimilar,
});

// Searches and their addresses

function searchWords(words) {
  const trimmed = words.trim();
  go(trimmed ? `?${new URLSearchParams({ q: trimmed })}` : "/");
}

function searchSimilar(picture) {
  go(`?${new URLSearchParams({ like: picture.id })}`, { name: picture.name });
}

function searchUpload(file) {
  if (served && file.size > served.max_upload_bytes) {
    const most = Math.round(served.max_upload_bytes / 2 ** 20);
    showFailure(`“${file.name}” is too large: at most ${most} MB can be sent.`, "Go back");
    return;
  }
  const number = uploads.size + 1;
  uploads.set(number, { file, address: URL.createObjectURL(file) });
  go("?picture", { upload: number });
}

function searchClosest() {
  const parameters = new URLSearchParams(location.search);
  parameters.set("closest", "1");
  go(`?${parameters}`, history.state);
}

function go(address, state = null) {
  history.pushState(state, "", address);
  follow();
}

/** The search the address stands for, or null for the start page. */
function fromAddress() {
  const parameters = new URLSearchParams(location.search);
  const cut = !parameters.has("closest");
  const words = parameters.get("q")?.trim();
  if (words) return { query: words, cut };
  if (parameters.has("like")) return { like: Number(parameters.get("like")), name: history.state?.name, cut };
  const upload = uploads.get(history.state?.upload);
  if (parameters.has("picture") && upload) return { image: upload.file, preview: upload.address, cut };
  return null;
}

async function follow() {
  running?.abort();
  wanted = fromAddress();
  describeSource();
  query.value = wanted?.query ?? "";
  document.title = wanted ? `${title(wanted)} – Picture search` : "Picture search";
  if (!wanted) {
    running = null;
    busy(false);
    await showStart();
    return;
  }
  introduce();
  await perform(PAGE_SIZE, showResults);
}

async function perform(k, show) {
  const search = wanted;
  running = new AbortController();
  const { signal } = running;
  busy(true);
  try {
    const results = await api.search({ ...search, query: search.query && weighed(search.query), k }, signal);
    if (!signal.aborted) show(results, k);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof api.Failure)) throw error;
    explain(error);
  } finally {
    if (!signal.aborted) busy(false);
  }
}

// What is shown

function title({ query: words, like, name }) {
  if (words) return words;
  return like === undefined ? "Like your picture" : `Similar to ${name ?? `picture ${like}`}`;
}

function describeSource() {
  const hasSource = Boolean(wanted && !wanted.query);
  part("source").hidden = !hasSource;
  part("search").classList.toggle("by-picture", hasSource);
  query.placeholder = hasSource ? "Or describe one" : "Describe the picture you look for";
  if (!hasSource) return;
  part("source-name").textContent = title(wanted);
  part("source-picture").classList.remove("gone");
  show(part("source-picture"), wanted.preview ?? api.thumbnail(wanted.like, 320));
}

function only(name) {
  for (const section of ["start", "message", "results", "sign-in"]) part(section).hidden = section !== name;
}

async function showStart() {
  announce("");
  grid.show([]);
  only("start");
  query.focus();
  if (!(await introduce())) return;
  const count = served.pictures;
  part("start-title").textContent = count ? `${plural(count)}. Describe the one you want.` : "This index is empty.";
  part("start-lead").textContent = count
    ? "Type what it shows, with a minus before what it should not, or hand in a picture to find others like it: choose, drop or paste one."
    : "Add pictures to it with autoglm index FOLDER --to INDEX, then reload this page.";
  if (count && !part("examples").children.length) await showExamples();
}

async function showExamples() {
  const examples = await api.examples().catch(() => []);
  part("examples-title").hidden = !examples.length;
  part("examples").replaceChildren(...examples.map(exampleItem));
}

function exampleItem({ query: words, picture }) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `?${new URLSearchParams({ q: words })}`;
  const frame = document.createElement("span");
  frame.className = "frame";
  const image = pictureImage(picture, frame);
  image.alt = "";
  frame.append(image);
  const label = document.createElement("span");
  label.textContent = words;
  link.append(frame, label);
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    searchWords(words);
  });
  item.append(link);
  return item;
}

function showResults(results, k) {
  if (!results.length) {
    showNoMatch();
    return;
  }
  only("results");
  grid.show(results);
  afterResults(results, k);
  window.scrollTo(0, 0);
}

function showMore(results, k) {
  const before = grid.pictures.length;
  grid.extend(results);
  afterResults(results, k);
  grid.focus(before);
}

function afterResults(results, k) {
  part("more").hidden = results.length < k || k >= MOST;
  const what = wanted.query ? ` for “${wanted.query}”` : "";
  if (!wanted.cut) announce(`The closest ${plural(results.length)}${what}, whether they match or not`);
  else announce(`${results.length < k ? "" : "The best "}${plural(results.length)}${what}`);
}

function announce(text, visible = true) {
  part("status").textContent = text;
  part("status").classList.toggle("unseen", !visible);
}

function showNoMatch() {
  grid.show([]);
  if (wanted.query && wanted.cut && served?.pictures !== 0) {
    const advice = "No picture comes close enough. Other words may find it.";
    showMessage(`Nothing matches “${wanted.query}”`, advice, "Show the closest anyway", searchClosest);
  } else {
    showMessage("There is nothing to show", "The index holds no other picture.");
  }
}

function showFailure(sentence, action = "Try again") {
  showMessage("That did not work", sentence, action, follow);
}

function explain(error) {
  if (error instanceof api.SignInNeeded) showSignIn(error.message);
  else showFailure(error.message);
}

function showSignIn(sentence) {
  only("sign-in");
  const refused = api.signedIn();
  api.signIn("");
  part("sign-out").hidden = true;
  part("sign-in-text").textContent = refused ? sentence : "This server asks who you are.";
  announce("Sign in", false);
  part("token").focus();
}

function showMessage(heading, text, action, act) {
  only("message");
  part("message-title").textContent = heading;
  part("message-text").textContent = text;
  part("message-action").hidden = !action;
  part("message-action").textContent = action ?? "";
  part("message-action").onclick = act ?? null;
  announce(heading, false); // the heading says it to those who see
}

let waiting = 0;
function busy(is) {
  clearTimeout(waiting);
  part("main").setAttribute("aria-busy", is);
  if (is) waiting = setTimeout(() => (part("progress").hidden = false), PATIENCE_MS);
  else part("progress").hidden = true;
}

const plural = (count) => `${count.toLocaleString("en")} picture${count === 1 ? "" : "s"}`;

/** Ask the server what it serves, once; false if it does not say. */
async function introduce() {
  try {
    served = await (asking ??= api.info());
  } catch (error) {
    asking = null;
    if (!(error instanceof api.Failure)) throw error;
    if (!wanted) explain(error);
    return false;
  }
  part("about").textContent = `${plural(served.pictures)} · ${served.model}`;
  return true;
}

// What the user does

part("search").addEventListener("submit", (event) => {
  event.preventDefault();
  searchWords(query.value);
});
part("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  api.signIn(part("token").value.trim());
  part("token").value = "";
  part("sign-out").hidden = !api.signedIn();
  follow();
});
part("sign-out").addEventListener("click", () => {
  api.signIn("");
  location.assign("/"); // nothing of what was shown stays
});
part("source-clear").addEventListener("click", () => {
  go("/");
  query.focus();
});
part("source-picture").addEventListener("error", ({ target }) => target.classList.add("gone"));
part("more").addEventListener("click", () => perform(grid.pictures.length + PAGE_SIZE, showMore));
window.addEventListener("popstate", () => {
  part("viewer").close();
  follow();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || part("viewer").open) return;
  const typing = event.target instanceof HTMLInputElement;
  if (event.key === "/" && !typing) {
    event.preventDefault();
    query.focus();
    query.select();
  } else if (event.key === "ArrowDown" && event.target === query && grid.pictures.length) {
    event.preventDefault();
    grid.focus(0);
  }
});
listen({
  input: part("file"),
  curtain: part("drop"),
  take: searchUpload,
  refuse: () => showFailure("What you dropped is not a picture: drop a JPEG, PNG or WebP file.", "Go back"),
});

part("sign-out").hidden = !api.signedIn();
follow();
