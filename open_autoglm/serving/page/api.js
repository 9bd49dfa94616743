// The server's API: requests out, JSON or an explained failure back. It knows nothing of the page.

/** A failure with a sentence for people. */
export class Failure extends Error {}

/** The server wants to know who asks. */
export class SignInNeeded extends Failure {}

// In this tab alone, and gone with it.
const TOKEN = "open-autoglm-token";

export const signedIn = () => Boolean(sessionStorage.getItem(TOKEN));

/** From now on everything is asked with this API key or token; "" for none. */
export function signIn(token) {
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

const hex = (bytes) =>
  Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A W3C trace of the request's own, by which the server's logs and traces can be searched. */
const traceparent = () => `00-${hex(16)}-${hex(8)}-01`;

async function send(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = { ...options.headers, traceparent: traceparent() };
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer. Check that it is still running, then try again.");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const message = body?.error?.message ?? `The server answered with status ${response.status}.`;
  throw response.status === 401 ? new SignInNeeded(message) : new Failure(message);
}

async function answer(path, options) {
  const body = await (await send(path, options)).json().catch(() => null);
  if (body) return body;
  throw new Failure("The server's answer cannot be read.");
}

/** The bytes at a picture's address, for who is signed in: an <img> by itself shows no token. */
export const picture = async (address) => (await send(address)).blob();

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
