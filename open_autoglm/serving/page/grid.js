// The grid of results: rows that fill the width, one tab stop, arrow keys between pictures.
// It knows pictures and keys; it knows nothing of searching.

import { pictureImage, shape } from "./picture.js";
import { rowHeights } from "./rows.js";

export class Grid {
  /** `open(position)` and `similar(picture)` are called when a picture is opened or its like is wanted. */
  constructor(list, { open, similar }) {
    this.list = list;
    this.open = open;
    this.similar = similar;
    this.pictures = [];
    list.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#arrange()).observe(list);
    list.addEventListener("focusin", (event) => this.#activate(this.#position(event.target)));
  }

  show(pictures) {
    this.pictures = pictures;
    this.list.replaceChildren(...pictures.map((picture, position) => this.#item(picture, position)));
    this.#arrange();
    this.#activate(0);
  }

  /** Add to the end, leaving what is there in place. */
  extend(pictures) {
    const known = new Set(this.pictures.map(({ id }) => id));
    const fresh = pictures.filter(({ id }) => !known.has(id));
    const start = this.pictures.length;
    this.pictures = [...this.pictures, ...fresh];
    this.list.append(...fresh.map((picture, offset) => this.#item(picture, start + offset)));
    this.#arrange();
  }

  focus(position = 0) {
    this.list.children[position]?.querySelector(".picture").focus();
  }

  #arrange() {
    const style = getComputedStyle(this.list);
    const width = this.list.clientWidth;
    if (!width) return;
    const shapes = this.pictures.map(shape);
    const heights = rowHeights(shapes, {
      width,
      gap: parseFloat(style.columnGap),
      target: parseFloat(style.getPropertyValue("--row")),
    });
    // Rounded down, so that no row is a fraction of a pixel too wide and wraps.
    heights.forEach((height, position) => {
      this.list.children[position].style.width = `${Math.floor(shapes[position] * height * 100) / 100}px`;
    });
  }

  #item(picture, position) {
    const item = document.createElement("li");
    item.style.setProperty("--shape", shape(picture));

    const open = document.createElement("button");
    open.type = "button";
    open.className = "picture";
    open.tabIndex = -1;
    open.setAttribute("aria-label", `Open ${picture.name}, score ${picture.score.toFixed(2)}`);
    open.append(pictureImage(picture, open));
    open.addEventListener("click", () => this.open(position));

    const similar = document.createElement("button");
    similar.type = "button";
    similar.className = "similar";
    similar.tabIndex = -1;
    similar.textContent = "Similar";
    similar.setAttribute("aria-label", `Pictures similar to ${picture.name}`);
    similar.addEventListener("click", () => this.similar(picture));

    const caption = document.createElement("p");
    caption.className = "caption";
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = picture.name;
    name.title = picture.path;
    const score = document.createElement("span");
    score.className = "score";
    score.textContent = picture.score.toFixed(2);
    score.title = "Score: how well the picture matches";
    caption.append(name, score);

    item.append(open, similar, caption);
    return item;
  }

  #position(element) {
    return [...this.list.children].indexOf(element.closest("li"));
  }

  #activate(position) {
    [...this.list.children].forEach((item, index) => {
      for (const button of item.querySelectorAll("button")) button.tabIndex = index === position ? 0 : -1;
    });
  }

  #onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const position = this.#position(event.target);
    const next = {
      ArrowRight: () => position + 1,
      ArrowLeft: () => position - 1,
      ArrowDown: () => this.#inNextRow(position, 1),
      ArrowUp: () => this.#inNextRow(position, -1),
      Home: () => 0,
      End: () => this.pictures.length - 1,
    }[event.key]?.();
    if (next !== undefined) {
      event.preventDefault();
      this.focus(next);
    } else if (event.key === "s") {
      event.preventDefault();
      this.similar(this.pictures[position]);
    }
  }

  /** The picture of the row below (1) or above (-1) whose middle is nearest; -1 if there is no such row. */
  #inNextRow(position, direction) {
    const boxes = [...this.list.children].map((item) => item.getBoundingClientRect());
    const here = boxes[position];
    const beyond = boxes.map((box) => Math.round((box.top - here.top) * direction)).map((gap) => (gap > 4 ? gap : Infinity));
    const nearest = Math.min(...beyond);
    if (nearest === Infinity) return -1;
    const middle = (box) => box.left + box.width / 2;
    const distance = (index) => Math.abs(middle(boxes[index]) - middle(here));
    return beyond
      .flatMap((gap, index) => (gap <= nearest + 4 ? [index] : []))
      .reduce((best, index) => (distance(index) < distance(best) ? index : best));
  }
}
