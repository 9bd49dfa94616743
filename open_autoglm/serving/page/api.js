// The server's API: requests out, JSON or an explained failure back. It knows nothing of the page.

/** A failure with a sentence for people. */
export class Failure extends Error {}

const hex = (bytes) =>
  Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A W3C trace of the request's own, by which the server's logs and traces can be searched. */
const traceparent = () => `00-${hex(16)}-${hex(8)}-01`;

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options?.headers, traceparent: traceparent() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer. Check that it is still running, then try again.");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new Failure(body?.error?.message ?? `The server answered with status ${response.status}.`);
}

function post(path, content, signal) {
  const headers = { "Content-Type": "application/json" };
  return answer(path, { method: "POST", body: JSON.stringify(content), headers, signal });
}

export const info = () => answer("/v1/info");

export const examples = async () => (await answer("/v1/examples")).examples;

/** The results for `wanted`: {query: words, or texts with weights} or {like} or {image: Blob}, with `k` and `cut`. */
export async function search({ query, like, image, k, cut }, signal) {
  if (image) {
    const form = new FormData();
    form.append("k", k);
    form.append("cut", cut);
    form.append("image", image);
    return (await answer("/v1/search", { method: "POST", body: form, signal })).results;
  }
  return (await post("/v1/search", { query, like, k, cut }, signal)).results;
}

/** The answer to a question about the picture with that id: {answer, confidence, reason, regions, heatmap,
 *  width, height}. */
export const ask = ({ picture, question }, signal) => post("/v1/ask", { picture, question }, signal);

export const original = (id) => `/v1/pictures/${id}`;

/** The address of a thumbnail; `size` is the longer side in pixels: 320, 640 or 1600. */
export const thumbnail = (id, size) => `/v1/pictures/${id}/thumbnail?size=${size}`;
