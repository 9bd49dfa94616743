// An <img> of a picture in the index that keeps its place while it loads and says so when its file is gone.

import { thumbnail } from "./api.js";

// Extreme panoramas and columns are cropped in the grid, so that one picture cannot take it over.
const NARROWEST = 0.5;
const WIDEST = 2.4;

/** Width over height, within what the grid can show. */
export const shape = ({ width, height }) => Math.min(WIDEST, Math.max(NARROWEST, width / height || 1));

/** The image element of `picture`, with a placeholder class on `frame` if it cannot be shown. */
export function pictureImage(picture, frame) {
  const image = document.createElement("img");
  image.alt = picture.name;
  image.width = picture.width;
  image.height = picture.height;
  image.decoding = "async";
  image.loading = "lazy";
  image.addEventListener("load", () => image.classList.add("loaded"));
  image.addEventListener("error", () => {
    frame.classList.add("gone");
    image.remove();
    const note = document.createElement("span");
    note.className = "gone-note";
    note.textContent = "This file is gone";
    frame.append(note);
  });
  const longest = Math.max(picture.width, picture.height) || 1;
  const widthAt = (size) => Math.round((picture.width / longest) * Math.min(size, longest)) || size;
  const [small, medium] = [widthAt(320), widthAt(640)];
  if (medium > small) {
    image.sizes = `${Math.round(220 * shape(picture))}px`;
    image.srcset = `${thumbnail(picture.id, 320)} ${small}w, ${thumbnail(picture.id, 640)} ${medium}w`;
  }
  image.src = thumbnail(picture.id, 320);
  return image;
}
