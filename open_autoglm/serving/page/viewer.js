// The dialog that shows one picture large, with what is known about it and answers about it. It knows nothing of
// searching.

import { Failure, original, picture as bytes, signedIn, thumbnail } from "./api.js";
import { Asking } from "./asking.js";
import { show } from "./picture.js";

const part = (name) => document.getElementById(name);

export class Viewer {
  /** `similar(picture)` is called when its like is wanted; `closed(position)` when the dialog has closed. */
  constructor(dialog, { similar, closed }) {
    this.dialog = dialog;
    this.pictures = [];
    this.position = 0;
    this.asking = new Asking();
    const wantSimilar = () => {
      dialog.close();
      similar(this.pictures[this.position]);
    };
    part("viewer-close").addEventListener("click", () => dialog.close());
    part("viewer-similar").addEventListener("click", wantSimilar);
    part("viewer-original").addEventListener("click", (event) => {
      if (!signedIn()) return;
      event.preventDefault();
      openFetched(this.pictures[this.position]);
    });
    part("viewer-previous").addEventListener("click", () => this.#step(-1));
    part("viewer-next").addEventListener("click", () => this.#step(1));
    part("viewer-picture").addEventListener("error", () => part("stage").classList.add("gone"));
    dialog.addEventListener("close", () => {
      this.asking.about(null);
      closed(this.position);
    });
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
      const act = {
        ArrowLeft: () => this.#step(-1),
        ArrowRight: () => this.#step(1),
        s: wantSimilar,
        "/": () => this.asking.focus(),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  show(pictures, position) {
    this.pictures = pictures;
    this.#fill(position);
    this.dialog.showModal();
  }

  #step(by) {
    const next = this.position + by;
    if (next >= 0 && next < this.pictures.length) this.#fill(next);
  }

  #fill(position) {
    this.position = position;
    const picture = this.pictures[position];
    const image = part("viewer-picture");
    part("stage").classList.remove("gone");
    image.alt = picture.name;
    part("sheet").style.setProperty("--shape", picture.width / picture.height || 1);
    part("sheet").style.setProperty("--width", picture.width);
    // The grid's thumbnail stands in until the large one is there.
    image.style.backgroundImage = signedIn() ? "" : `url("${thumbnail(picture.id, 320)}")`;
    show(image, thumbnail(picture.id, 1600));
    this.asking.about(picture);
    part("viewer-name").textContent = picture.name;
    part("viewer-original").href = original(picture.id);
    part("viewer-place").textContent = `${position + 1} of ${this.pictures.length}`;
    part("viewer-previous").disabled = position === 0;
    part("viewer-next").disabled = position === this.pictures.length - 1;
    const facts = [
      ["Score", picture.score.toFixed(3)],
      ["Size", `${picture.width} × ${picture.height} pixels`],
      ["File", picture.path],
      ...Object.entries(picture.metadata),
    ];
    part("viewer-facts").replaceChildren(...facts.flatMap(([name, value]) => fact(name, value)));
  }
}

/** The original in a new tab, or as a download where it is nothing that a browser shows. */
async function openFetched(picture) {
  try {
    const content = await bytes(original(picture.id));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    if (content.type.startsWith("image/")) link.target = "_blank";
    else link.download = picture.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // by then the tab has it
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    part("stage").classList.add("gone");
  }
}

function fact(name, value) {
  const term = document.createElement("dt");
  term.textContent = name;
  const detail = document.createElement("dd");
  detail.textContent = typeof value === "string" ? value : JSON.stringify(value);
  return [term, detail];
}
