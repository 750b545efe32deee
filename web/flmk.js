// What the page shares with flmk's Python, number for number; nothing here knows of the page.

const roundEven = x => { const r = Math.round(x); return x % 1 === .5 && r % 2 ? r - 1 : r }    // as NumPy rounds
const dot = (a, b) => a[0]*b[0] + a[1]*b[1] + a[2]*b[2]
const cross = (a, b) => [a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]]
const mean = rows => rows[0].map((_, j) => rows.reduce((s, r) => s + r[j], 0)/rows.length)

// For each of `to` pixels: the first of the `from` pixels that it is made of, and their weights.
// Averages over its area, or linear interpolation (OpenCV's INTER_AREA and INTER_LINEAR).
function taps(from, to, area) {
  const step = from/to
  return Array.from({length: to}, (_, i) => {
    if (!area) {
      const x = Math.min(Math.max((i + .5)*step - .5, 0), from - 1), first = Math.max(0, Math.min(Math.floor(x), from - 2))
      return {first, weights: from === 1 ? [1] : [1 - (x - first), x - first]}
    }
    const a = i*step, b = Math.min((i + 1)*step, from), first = Math.floor(a), weights = []
    for (let j = first; j < b - 1e-9; j++) weights.push((Math.min(j + 1, b) - Math.max(j, a))/step)
    return {first, weights}
  })
}

// A picture (RGBA bytes) scaled to fit a square and centred there, black around: (3, size, size) floats 0..255 for the network,
// `back`, which takes points in the square to the picture's pixels, and `scale`, the picture's pixels for one of the square.
// flmk.core.crop.letterbox and from_letterbox.
export function fitSquare({data, width, height}, size) {
  const long = Math.max(width, height)
  const w = Math.max(1, roundEven(width*size/long)), h = Math.max(1, roundEven(height*size/long))
  const area = long > 1.5*size, left = Math.floor((size - w)/2), top = Math.floor((size - h)/2)
  const rows = new Float32Array(3*w*height), input = new Float32Array(3*size*size)
  taps(width, w, area).forEach(({first, weights}, x) => {
    for (let y = 0; y < height; y++) {
      let r = 0, g = 0, b = 0, at = 4*(y*width + first)
      for (const t of weights) { r += t*data[at]; g += t*data[at + 1]; b += t*data[at + 2]; at += 4 }
      const to = 3*(y*w + x)
      rows[to] = r; rows[to + 1] = g; rows[to + 2] = b
    }
  })
  taps(height, h, area).forEach(({first, weights}, y) => {
    for (let x = 0; x < w; x++) for (let c = 0; c < 3; c++) {
      let sum = 0
      weights.forEach((t, j) => { sum += t*rows[3*((first + j)*w + x) + c] })
      input[c*size*size + (y + top)*size + x + left] = roundEven(sum)
    }
  })
  return {input, back: ([x, y]) => [(x - left + .5)*width/w - .5, (y - top + .5)*height/h - .5], scale: (width/w + height/h)/2}
}

// The rotation of the reference head that explains the points best, without perspective: 3 x 3. flmk.core.pose.fit_rotation.
export function fitRotation(points, reference) {
  const c = mean(reference), m = mean(points)
  const X = reference.map(p => p.map((v, j) => v - c[j])), P = points.map(p => p.map((v, j) => v - m[j]))
  const column = (M, j) => M.map(r => r[j]), times = (a, b) => a.reduce((s, v, i) => s + v*b[i], 0)
  const G = [0, 1, 2].map(i => [0, 1, 2].map(j => times(column(X, i), column(X, j))))
  const inverse = [cross(G[1], G[2]), cross(G[2], G[0]), cross(G[0], G[1])]                        // of G, times its determinant
  const A = [0, 1].map(i => [0, 1, 2].map(j => times(column(P, i), column(X, j)))).map(r => inverse.map(g => dot(r, g)))
  // the nearest matrix with orthonormal rows, (A A')^-1/2 A; a 2 x 2 root has a closed form
  const p = dot(A[0], A[0]), q = dot(A[0], A[1]), r = dot(A[1], A[1]), s = Math.sqrt(p*r - q*q), t = s*Math.sqrt(p + r + 2*s)
  const R = [A[0].map((v, j) => ((r + s)*v - q*A[1][j])/t), A[1].map((v, j) => ((p + s)*v - q*A[0][j])/t)]
  return [...R, cross(R[0], R[1])]
}

// Pitch, yaw and roll in degrees. flmk.core.pose.rotation_angles.
export const toAngles = R => [Math.atan2(-R[2][1], R[2][2]), Math.asin(Math.min(1, Math.max(-1, R[2][0]))), Math.atan2(R[1][0], R[0][0])]
  .map(a => a*180/Math.PI)

// The reference head, turned: (68, 2).
export const turned = (R, reference) => reference.map(p => [dot(R[0], p), dot(R[1], p)])

// The square that a face with these points is cropped to in the challenge: 1.9 times their box, 8 % of the side above its middle.
// flmk.core.crop.crop_around_points, which rounds it to whole pixels.
export function faceSquare(points) {
  const xs = points.map(p => p[0]), ys = points.map(p => p[1])
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)]
  const side = 1.9*Math.max(x1 - x0, y1 - y0)
  return {x: (x0 + x1 - side)/2, y: (y0 + y1 - side)/2 - .08*side, side}
}
