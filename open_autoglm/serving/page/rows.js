// Breaks pictures of many shapes into rows that fill a width at nearly one height. It knows numbers only.

/**
 * The height of each picture, in pixels, from the pictures' shapes (width over height).
 * A row ends where its height is nearest to `target`; the last row is not stretched beyond it.
 */
export function rowHeights(shapes, { width, gap, target }) {
  const heights = [];
  let row = [];
  const height = (some) => (width - gap * (some.length - 1)) / some.reduce((sum, shape) => sum + shape, 0);
  const finish = (value) => {
    heights.push(...row.map(() => value));
    row = [];
  };
  for (const shape of shapes) {
    const longer = [...row, shape];
    // Of the row as it is, too high, and the row with one more, too low, the nearer in proportion is taken.
    if (row.length && height(longer) < target && height(row) / target < target / height(longer)) finish(height(row));
    row.push(shape);
    if (height(row) <= target) finish(height(row));
  }
  if (row.length) finish(Math.min(target, height(row)));
  return heights;
}
