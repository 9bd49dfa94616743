// What the search box understands: words, and after a minus what is not wanted. It knows nothing of searching.

const UNWANTED = /(?<=^|\s)-(?:"([^"]+)"|([^\s"-]\S*))/g;

/** Texts with their weights for red dress -long, or -"long sleeves"; the words as they are where all or none are wanted. */
export function weighed(words) {
  const unwanted = [...words.matchAll(UNWANTED)].map(([, quoted, word]) => quoted ?? word);
  const wanted = words.replace(UNWANTED, " ").replace(/\s+/g, " ").trim();
  if (!wanted || !unwanted.length) return words;
  return { ...Object.fromEntries(unwanted.map((text) => [text, -1])), [wanted]: 1 };
}
