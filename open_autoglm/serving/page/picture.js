// An <img> of a picture in the index that keeps its place while it loads and says so when its file is gone.

import { Failure, picture as bytes, signedIn, thumbnail } from "./api.js";

// Extreme panoramas and columns are cropped in the grid, so that one picture cannot take it over.
const NARROWEST = 0.5;
const WIDEST = 2.4;

/** Width over height, within what the grid can show. */
export const shape = ({ width, height }) => Math.min(WIDEST, Math.max(NARROWEST, width / height || 1));

/** Shows what is at `address` in `image`, once it is there, unless another address is wanted by then. */
export async function show(image, address) {
  image.dataset.wanted = address;
  if (!signedIn() || address.startsWith("blob:")) {
    image.src = address;
    return;
  }
  const wanted = () => image.dataset.wanted === address;
  try {
    const local = URL.createObjectURL(await bytes(address));
    const forget = () => URL.revokeObjectURL(local);
    if (!wanted()) return forget();
    for (const end of ["load", "error"]) image.addEventListener(end, forget, { once: true });
    image.src = local;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (wanted()) image.dispatchEvent(new Event("error"));
  }
}

// What `loading="lazy"` does for addresses, for pictures that are fetched.
const nearby = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      nearby.unobserve(target);
      show(target, target.dataset.later);
    }
  },
  { rootMargin: "600px" },
);

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
  if (signedIn()) {
    image.dataset.later = thumbnail(picture.id, devicePixelRatio > 1 ? 640 : 320);
    nearby.observe(image);
    return image;
  }
  if (medium > small) {
    image.sizes = `${Math.round(220 * shape(picture))}px`;
    image.srcset = `${thumbnail(picture.id, 320)} ${small}w, ${thumbnail(picture.id, 640)} ${medium}w`;
  }
  image.src = thumbnail(picture.id, 320);
  return image;
}
