// The ways a picture gets into the page: chosen, dropped, pasted. It knows nothing of what is done with it.

const firstPicture = (transfer) => [...(transfer?.files ?? [])].find(({ type }) => type.startsWith("image/"));

/** Calls `take(file)` for each picture handed in; `refuse()` when what was dropped is none. */
export function listen({ input, curtain, take, refuse }) {
  input.addEventListener("change", () => {
    const [file] = input.files;
    if (file) take(file);
    input.value = ""; // so that choosing the same file again is a change
  });

  document.addEventListener("paste", (event) => {
    const file = firstPicture(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    take(file);
  });

  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    curtain.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) curtain.hidden = true;
  });
  document.addEventListener("drop", (event) => {
    curtain.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    const file = firstPicture(event.dataTransfer);
    if (file) take(file);
    else refuse();
  });
}
