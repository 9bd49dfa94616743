// The rollout page: how a candidate does, what was decided, and the two things a person may do about it.

import { chart } from "./rollout-chart.js";
import { FIGURES, readable } from "./rollout-figures.js";

const EVERY_MS = 2000;
const TOKEN = "open-autoglm-token"; // in this tab alone, and the same as on the search page
const UNNAMED = ["rule", "anonymous"];

const part = (name) => document.getElementById(name);
const percent = (share) => `${Math.round(share * 1000) / 10} %`;
const number = (count) => count.toLocaleString("en");

let going = null;
let shown = ""; // what is on the page, so that nothing is drawn twice
let next = 0;

/** A failure with a sentence for people; `unknown` where the server does not know who asks. */
class Failure extends Error {
  constructor(message, unknown = false) {
    super(message);
    this.unknown = unknown;
  }
}

async function ask(wanted) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  let reply;
  try {
    reply = await fetch("/v1/rollout", wanted ? { method: "POST", body: JSON.stringify(wanted), headers } : { headers });
  } catch {
    throw new Failure("The server does not answer. It is asked again in a moment.");
  }
  const body = await reply.json().catch(() => null);
  if (reply.ok && body) return body;
  const sentence = body?.error?.message ?? `The server answered with status ${reply.status}.`;
  throw new Failure(sentence, reply.status === 401 || reply.status === 403);
}

/** Does it, shows how things stand then, and looks again after a while. */
async function follow(wanted) {
  clearTimeout(next);
  try {
    show(await ask(wanted));
    part("sign-in").hidden = true;
    if (!wanted) trouble("");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    trouble(error.message);
    part("sign-in").hidden = !error.unknown;
    if (error.unknown) return;
  }
  next = setTimeout(follow, EVERY_MS);
}

function trouble(sentence) {
  part("trouble").hidden = !sentence;
  if (part("trouble").textContent !== sentence) part("trouble").textContent = sentence;
}

// What is shown

function show(stands) {
  const now = JSON.stringify(stands);
  if (now === shown) return;
  shown = now;
  going = stands.rollout;
  part("live").textContent = Object.entries(stands.live).map(liveWords).join(" · ");
  showStand(stands);
  showTests(stands);
  part("decided").hidden = !stands.decisions.length;
  part("decisions").replaceChildren(...stands.decisions.map(decision));
}

function liveWords([name, versions]) {
  const { answers, embeddings } = versions;
  return answers === embeddings ? `${name}: ${answers}` : `${name}: answers by ${answers}, vectors by ${embeddings}`;
}

function showStand({ decisions }) {
  const title = going ? standing() : "No rollout is under way";
  const rest = going ? going.waits_for : decisions.length ? "" : "Start one with autoglm rollout start.";
  part("title").textContent = title;
  part("waits").textContent = rest;
  document.title = `${title} – Rollout`;
  part("stands").hidden = false;
  part("acts").hidden = part("weights").hidden = !going;
  part("weights").replaceChildren(...(going ? [0, ...going.plan.steps].map(step) : []));
}

function standing() {
  if (!going.weight) return `${going.candidate} is compared, and answers nobody yet`;
  return `${going.candidate} answers ${percent(going.weight)} of people`;
}

function step(share, position) {
  const item = document.createElement("li");
  item.textContent = share ? percent(share) : "Compared";
  item.className = position < going.step ? "past" : position === going.step ? "now" : "";
  if (position === going.step) item.setAttribute("aria-current", "step");
  return item;
}

function showTests({ moments, decisions }) {
  const figures = going?.figures ?? decisions[0]?.figures ?? {};
  const names = Object.keys(FIGURES).filter((name) => name in figures);
  part("tests").hidden = !names.length;
  part("counts").textContent = going
    ? `${number(going.compared)} requests compared, ${number(going.dropped)} copies dropped while the server was busy.`
    : "As it stood in the end.";
  const limits = going?.plan.rules ?? {};
  part("charts").replaceChildren(...names.map((name) => test(name, figures[name], moments, limits)));
}

function test(name, figure, moments, rules) {
  const { title, help, limit, paired } = FIGURES[name];
  const item = document.createElement("li");
  const heading = document.createElement("h3");
  heading.textContent = title;
  const value = document.createElement("p");
  value.className = "value";
  value.textContent = readable(name, figure.mean);
  const between = document.createElement("p");
  between.className = "between";
  const ends = [readable(name, figure.low), readable(name, figure.high)];
  if (!paired && name.endsWith("errors")) ends.reverse();
  between.textContent = `${ends[0]} to ${ends[1]}, over ${number(figure.n)}`;
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = help;
  item.append(heading, value, between);
  if (paired) item.append(chart(title, moments.filter((moment) => name in moment.figures), name, limit?.(rules)));
  item.append(note);
  return item;
}

function decision({ at, kind, by, sentence }) {
  const item = document.createElement("li");
  const when = document.createElement("time");
  const date = new Date(at * 1000);
  when.dateTime = date.toISOString();
  when.textContent = date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
  const what = document.createElement("strong");
  what.textContent = kind[0].toUpperCase() + kind.slice(1);
  what.className = kind.replace(" ", "-");
  const why = document.createElement("p");
  why.textContent = UNNAMED.includes(by) ? sentence : `${sentence} By ${by}.`;
  item.append(when, what, why);
  return item;
}

// What a person does

const QUESTIONS = {
  promote: (name) => [
    `Make ${name} live?`,
    "It then answers everybody, whatever the rules say of it so far. The version before it is not asked any more.",
    "Promote",
  ],
  abort: (name) => [`Abort the rollout of ${name}?`, "Everything is answered as before it. What was seen is kept.", "Abort"],
};

for (const action of Object.keys(QUESTIONS)) part(action).addEventListener("click", () => confirm(action));

function confirm(action) {
  if (!going) return;
  const [title, text, yes] = QUESTIONS[action](going.candidate);
  part("sure-title").textContent = title;
  part("sure-text").textContent = text;
  part("sure-yes").textContent = yes;
  part("sure").returnValue = "";
  part("sure").onclose = () => part("sure").returnValue === "yes" && follow({ action });
  part("sure").showModal();
}

part("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, part("token").value.trim());
  part("token").value = "";
  follow();
});

follow();
