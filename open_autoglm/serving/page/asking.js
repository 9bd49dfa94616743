// The box that asks about the picture in the viewer, its answer, and what the answer rests on, drawn over the picture.

import { Failure, ask } from "./api.js";
import { drawBoxes, drawHeat, marked } from "./marks.js";

const PATIENCE_MS = 150; // an answer faster than this needs no word that one is looking
const part = (name) => document.getElementById(name);

export class Asking {
  constructor() {
    this.picture = null;
    this.running = null;
    part("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask(part("question").value.trim());
    });
    part("heat-toggle").addEventListener("click", () => {
      const shown = part("heat-toggle").getAttribute("aria-pressed") !== "true";
      part("heat-toggle").setAttribute("aria-pressed", shown);
      part("heat").hidden = !shown;
    });
  }

  /** From now on questions are about `picture`; null: about none. The question stays, its answer goes. */
  about(picture) {
    this.running?.abort();
    this.running = null;
    this.picture = picture;
    this.#clear();
  }

  focus() {
    part("question").focus();
    part("question").select();
  }

  async #ask(question) {
    if (!question || !this.picture) return;
    const { picture } = this;
    this.about(picture);
    this.running = new AbortController();
    const { signal } = this.running;
    const waiting = setTimeout(() => say("Looking …"), PATIENCE_MS);
    try {
      const answer = await ask({ picture: picture.id, question }, signal);
      if (!signal.aborted) await this.#show(answer, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Failure)) throw error;
      say("That did not work", error.message);
    } finally {
      clearTimeout(waiting);
    }
  }

  async #show(answer, signal) {
    if (answer.heatmap) {
      await drawHeat(part("heat"), answer.heatmap);
      if (signal.aborted) return;
    }
    const regions = marked(answer.regions);
    drawBoxes(part("marks"), regions, answer);
    part("heat-toggle").hidden = !answer.heatmap;
    part("heat").hidden = !answer.heatmap || part("heat-toggle").getAttribute("aria-pressed") !== "true";
    const more = [answer.reason || `${sureness(answer)}.`, places(regions.length)];
    say(inWords(answer), more.filter(Boolean).join(" "));
  }

  #clear() {
    say("");
    part("marks").replaceChildren();
    part("heat").hidden = true;
    part("heat-toggle").hidden = true;
  }
}

function say(text, more = "") {
  part("answer-text").textContent = text;
  part("answer-more").textContent = more;
}

function inWords({ answer }) {
  return answer === null ? "I can’t tell" : answer[0].toUpperCase() + answer.slice(1);
}

function sureness({ answer, confidence }) {
  const rounded = Math.round(100 * confidence);
  return `${answer === null ? "Only " : ""}${rounded === 100 ? "over 99" : rounded}% sure`; // nothing is certain
}

const places = (count) => (count ? `${count} place${count === 1 ? "" : "s"} marked in the picture.` : "");
