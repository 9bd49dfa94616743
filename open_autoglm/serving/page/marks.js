// What is drawn over a picture: boxes around regions, and a heat map. It knows nothing of where they come from.

const MOST = 10;
const FAINTEST = 0.25; // of the best score: a fusion model gives every region it looked at, most of them next to nothing
const STRONGEST = 0.6; // how far the heat hides the picture where it is hottest
// Cold to hot, told apart by lightness too: dark blue, red, yellow.
const HEAT = [[20, 24, 110], [214, 40, 40], [255, 222, 60]];

/** The regions worth drawing, best first. */
export function marked(regions) {
  const [best] = regions;
  return regions.slice(0, MOST).filter(({ score }) => score >= FAINTEST * best.score);
}

/** Draw boxes into `frame`, which lies over a picture of `width` x `height` pixels, however large that is shown. */
export function drawBoxes(frame, regions, { width, height }) {
  const share = (part, whole) => `${(100 * part) / whole}%`;
  const boxes = regions.map(({ box: [x0, y0, x1, y1], score }) => {
    const box = document.createElement("div");
    box.className = "mark";
    Object.assign(box.style, {
      left: share(x0, width),
      top: share(y0, height),
      width: share(x1 - x0, width),
      height: share(y1 - y0, height),
    });
    const label = document.createElement("span");
    label.textContent = `${Math.round(100 * score)}%`;
    box.append(label);
    return box;
  });
  frame.replaceChildren(...boxes.reverse()); // the best last and on top
}

/** Paint a heat map, a grey picture's address, onto a canvas; it is clear where it is cold. */
export async function drawHeat(canvas, address) {
  const grey = new Image();
  grey.src = address;
  await grey.decode();
  canvas.width = grey.width;
  canvas.height = grey.height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(grey, 0, 0);
  const pixels = pen.getImageData(0, 0, grey.width, grey.height);
  for (let place = 0; place < pixels.data.length; place += 4) {
    const heat = pixels.data[place] / 255;
    pixels.data.set([...colour(heat), 255 * STRONGEST * heat], place);
  }
  pen.putImageData(pixels, 0, 0);
}

function colour(heat) {
  const place = heat * (HEAT.length - 1);
  const below = Math.min(HEAT.length - 2, Math.floor(place));
  return HEAT[below].map((part, channel) => part + (place - below) * (HEAT[below + 1][channel] - part));
}
