// What the page shares with flmk's Python, number for number; nothing here knows of the page.
// A picture is {data, width, height} with RGBA bytes, as a canvas gives it. A square is {x, y, side, angle}: left, top and side
// in the picture's pixels, turned about its middle by so many radians, clockwise.

const roundEven = x => { const r = Math.round(x); return x % 1 === .5 && r % 2 ? r - 1 : r }    // as NumPy rounds
const dotProduct = (a, b) => a.reduce((s, v, i) => s + v*b[i], 0)
const crossProduct = (a, b) => [a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2], a[0]*b[1] - a[1]*b[0]]
const mean = rows => rows[0].map((_, j) => rows.reduce((s, r) => s + r[j], 0)/rows.length)
const bounds = points => [0, 1].map(j => points.map(p => p[j])).flatMap(v => [Math.min(...v), Math.max(...v)])   // x, x, y, y
const rotationMatrix = a => [[Math.cos(a), -Math.sin(a)], [Math.sin(a), Math.cos(a)]]
const matrixTimes = (m, p) => m.map(row => dotProduct(row, p))
const clamp = (v, low, high) => Math.min(Math.max(v, low), high)

// ---- finding faces: flmk.inference.detector

// For each of `to` pixels: the first of the `from` pixels that it is made of, and their weights (OpenCV's INTER_AREA, which counts
// in single precision; so do we, for halves are frequent and are rounded up or down by the last bit).
const single = Math.fround
function taps(from, to) {
  const step = from/to
  return Array.from({length: to}, (_, i) => {
    const a = i*step, b = a + step, cell = Math.min(step, from - a), last = Math.min(Math.floor(b), from - 1), start = Math.min(Math.ceil(a), last)
    const before = start - a > 1e-3, weights = before ? [(start - a)/cell] : []
    for (let j = start; j < last; j++) weights.push(1/cell)
    if (b - last > 1e-3) weights.push(Math.min(b - last, 1, cell)/cell)
    return {first: start - before, weights: weights.map(single)}
  })
}

// A picture reduced to w x h pixels, in bytes of four.
function shrunk(picture, w, h) {
  const {data, width, height} = picture, k = width/w, rows = new Float32Array(3*w*height), out = new Uint8Array(4*w*h)
  if (k === height/h && Number.isInteger(k)) return reduced(picture, 0, 0, w, h, k)
  taps(width, w).forEach(({first, weights}, x) => {
    for (let y = 0; y < height; y++) {
      let r = 0, g = 0, b = 0, at = 4*(y*width + first)
      for (const t of weights) { r = single(r + single(t*data[at])); g = single(g + single(t*data[at + 1])); b = single(b + single(t*data[at + 2])); at += 4 }
      const to = 3*(y*w + x)
      rows[to] = r; rows[to + 1] = g; rows[to + 2] = b
    }
  })
  taps(height, h).forEach(({first, weights}, y) => {
    for (let x = 0; x < w; x++) for (let c = 0; c < 3; c++) {
      let sum = 0
      weights.forEach((t, j) => { sum = single(sum + single(t*rows[3*((first + j)*w + x) + c])) })
      out[4*(y*w + x) + c] = roundEven(sum)
    }
  })
  return {data: out, width: w, height: h}
}

// A picture reduced to a longer side; itself where it is small enough.
export function reducedTo(picture, side) {
  const s = side/Math.max(picture.width, picture.height), size = v => Math.max(1, roundEven(v*s))
  return s < 1 ? shrunk(picture, size(picture.width), size(picture.height)) : picture
}

// The detector's input: the picture reduced to a longer side, black at the right and at the bottom up to multiples of 32.
// Bytes (1, height, width, 3), and the picture's pixels for one of the input, along x and y.
export function searchInput(picture, side) {
  const {data, width: w, height: h} = reducedTo(picture, side), [W, H] = [w, h].map(v => Math.ceil(v/32)*32), input = new Uint8Array(3*W*H)
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) for (let c = 0; c < 3; c++) input[3*(y*W + x) + c] = data[4*(y*w + x) + c]
  return {input, dims: [1, H, W, 3], scale: [picture.width/w, picture.height/h]}
}

// The faces that one map (1, h, w, 14) tells of: {box: x, y, width, height; five points; score}, in pixels of the detector's input.
export function decodeMap({data, dims: [, h, w]}, stride, threshold) {
  const found = []
  for (let k = 0; k < h*w; k++) {
    const t = data.subarray(14*k, 14*k + 14)
    if (!(t[0] > threshold)) continue
    const [x, y] = [k % w, Math.floor(k/w)].map(v => v*stride + (stride - 1)/2), side = 4*stride*Math.exp(clamp(t[3], -4, 4))
    found.push({box: [x + 2*stride*t[1] + .5 - side/2, y + 2*stride*t[2] + .5 - side/2, side, side], score: t[0],
      five: [0, 1, 2, 3, 4].map(i => [x + 4*stride*t[4 + 2*i], y + 4*stride*t[5 + 2*i]])})
  }
  return found
}

export const scaleRow = ({box: [x, y, w, h], five, score}, [sx, sy]) =>
  ({box: [x*sx, y*sy, w*sx, h*sy], five: five.map(p => [(p[0] + .5)*sx - .5, (p[1] + .5)*sy - .5]), score})

// A picture turned counter-clockwise by so many quarters.
export function turned(picture, turns) {
  if (!turns) return picture
  const {data, width: w, height: h} = turned(picture, turns - 1), out = new Uint8Array(4*w*h)
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) for (let c = 0; c < 4; c++) out[4*((w - 1 - x)*h + y) + c] = data[4*(y*w + x) + c]
  return {data: out, width: h, height: w}
}

// A row of a turned picture in the pixels of the picture before, which is {width, height}.
export function unturnRow({box, five, score}, turns, {width, height}) {
  for (let k = turns - 1; k >= 0; k--) {
    const wide = k % 2 ? height : width, [x, y, w, h] = box
    box = [wide - y - h, x, h, w]; five = five.map(([x, y]) => [wide - 1 - y, x])
  }
  return {box, five, score}
}

// Non-maximum suppression: of boxes that lie on each other, the one with the best score.
export function suppress(rows, iou = .4, inside = .75, most = 500) {
  const kept = []
  const alike = ({box: a}, {box: b}) => {
    const across = i => Math.max(0, Math.min(a[i] + a[i + 2], b[i] + b[i + 2]) - Math.max(a[i], b[i]))
    const both = across(0)*across(1), [A, B] = [a[2]*a[3], b[2]*b[3]]
    return both/(A + B - both) > iou || both/Math.min(A, B) > inside
  }
  for (const row of rows.toSorted((a, b) => b.score - a.score).slice(0, most)) if (!kept.some(k => alike(k, row))) kept.push(row)
  return kept
}

// ---- squares: flmk.core.crop

// In-plane rotation of a face by its five points, in radians.
export function faceRoll(five) {
  const across = [0, 1].map(j => (five[1][j] - five[0][j] + five[4][j] - five[3][j])/2)
  const down = [0, 1].map(j => (five[3][j] + five[4][j] - five[0][j] - five[1][j])/2)
  return Math.atan2(across[1] - down[0], across[0] + down[1])
}

// A scheme tells what a model's points are: {five, crop}, with the points of each of the five, or null where it has them not.
const fivePoints = (points, {five}) => five.map(idx => mean(idx.map(i => points[i])))

// The challenge's crop around a detector's box, turned upright.
export function squareOfBox([x, y, w, h], angle = 0) {
  const side = Math.max(1, roundEven(1.5*Math.max(w, h)))
  return {x: roundEven(x + (w - side)/2), y: roundEven(y + (h - side)/2), side, angle}
}

// The challenge's crop around known landmarks: 1.9 times their box, 8 % of the side above its middle; in the frame of a face that
// is turned by `angle`. Not rounded: a face that hardly moves has a crop that hardly moves.
export function squareOfPoints(points, {crop: [scale, shift]}, angle = 0) {
  const [x0, x1, y0, y1] = bounds(points.map(p => matrixTimes(rotationMatrix(-angle), p))), side = Math.max(1, scale*Math.max(x1 - x0, y1 - y0))
  const [x, y] = matrixTimes(rotationMatrix(angle), [(x0 + x1)/2, (y0 + y1)/2 - shift*side])
  return {x: x + .5 - side/2, y: y + .5 - side/2, side, angle}
}
export const uprightSquare = (points, scheme, angle = 0) => squareOfPoints(points, scheme, scheme.five ? faceRoll(fivePoints(points, scheme)) : angle)

// Intersection of two squares over the smaller one's area, as if they were not turned.
export function overlap(a, b) {
  const across = k => Math.max(0, Math.min(a[k] + a.side, b[k] + b.side) - Math.max(a[k], b[k]))
  return across('x')*across('y')/Math.max(1, Math.min(a.side, b.side))**2
}

// ---- points: flmk.inference.landmarks

// From the pixels of the network's input to the picture's: 2 x 3.
export function cropMatrix({x, y, side, angle}, size) {
  const turn = rotationMatrix(angle).map(r => r.map(v => v*side/size)), middle = [x + side/2 - .5, y + side/2 - .5]
  return turn.map((r, j) => [...r, middle[j] - dotProduct(r, [(size - 1)/2, (size - 1)/2])])
}
export const mapPoint = (m, [x, y]) => m.map(r => r[0]*x + r[1]*y + r[2])

// A part of a picture, every k x k pixels averaged to one.
function reduced({data, width}, x0, y0, w, h, k) {
  const out = new Uint8Array(4*w*h), share = single(1/(k*k)), round = k === 2 ? v => Math.floor(v + .5) : roundEven           // as OpenCV does
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) {
    let r = 0, g = 0, b = 0
    for (let j = 0; j < k; j++) for (let i = 0, at = 4*((y0 + y*k + j)*width + x0 + x*k); i < k; i++, at += 4) { r += data[at]; g += data[at + 1]; b += data[at + 2] }
    const to = 4*(y*w + x)
    out[to] = round(single(r*share)); out[to + 1] = round(single(g*share)); out[to + 2] = round(single(b*share))
  }
  return {data: out, width: w, height: h}
}

// The network's input for a square of a picture: (3, size, size) floats 0..255 into `input`; black outside. Returns its `cropMatrix`.
export function cropToInput(picture, square, size, input) {
  const m = cropMatrix(square, size), k = Math.max(1, roundEven(square.side/size)), most = [picture.width, picture.height]
  const corners = [[-.5, -.5], [size - .5, -.5], [-.5, size - .5], [size - .5, size - .5]].map(p => mapPoint(m, p)), [x0, x1, y0, y1] = bounds(corners)
  const low = [x0, y0].map(v => Math.max(0, Math.floor(v + .5 + 1e-6) - k))
  const [w, h] = [x1, y1].map((v, j) => Math.floor((Math.min(most[j], Math.ceil(v + .5 - 1e-6) + k) - low[j])/k))
  if (w < 1 || h < 1) { input.fill(0); return m }
  const {data, width} = k > 1 ? reduced(picture, ...low, w, h, k) : picture, at = k > 1 ? low : [0, 0], [W, H] = k > 1 ? [w, h] : most
  const to = m.map((r, j) => [r[0]/k, r[1]/k, (r[2] + .5 - at[j])/k - .5])
  for (let y = 0, n = 0; y < size; y++) for (let x = 0; x < size; x++, n++) {
    const [u, v] = to.map(r => (roundEven(1024*(r[1]*y + r[2])) + roundEven(1024*r[0]*x) + 16) >> 5)      // 32nds of a pixel, as OpenCV counts
    const [i, j, a, b] = [u >> 5, v >> 5, (u & 31)/32, (v & 31)/32]
    for (let c = 0; c < 3; c++) {
      const value = (i, j) => i < 0 || j < 0 || i >= W || j >= H ? 0 : data[4*(j*width + i) + c]
      input[c*size*size + n] = Math.floor((1 - b)*((1 - a)*value(i, j) + a*value(i + 1, j)) + b*((1 - a)*value(i, j + 1) + a*value(i + 1, j + 1)) + .5)     // halves go up
    }
  }
  return m
}

// Mirror a (3, size, size) input left to right.
export function mirrored(input, size, out) {
  for (let row = 0; row < 3*size; row++) for (let x = 0; x < size; x++) out[row*size + x] = input[row*size + size - 1 - x]
}

// The mean sigma in percent of the crop's side: how unsure a prediction is as a whole.
export const meanSigma = (points, sigma, scheme) => 100*sigma.reduce((a, b) => a + b, 0)/sigma.length/squareOfPoints(points, scheme).side

// Where the second, tighter crop lies; the first one, where the points have left it.
export function refineSquare(square, points, scheme, {width, height}) {
  const next = uprightSquare(points, scheme, square.angle)
  return next.side <= 3*Math.max(width, height) && overlap(square, next) > .2 ? next : square
}

// ---- following: flmk.inference.video

// Why a track's points are not believed any more, or null.
export function drifted(old, now, unsure, {width, height}, limit) {
  const inside = (at, side, most) => Math.max(0, Math.min(at + side, most) - Math.max(at, 0))
  if (unsure > limit) return 'sigma'
  if (!(now.side > .75*old.side && now.side < 1.25*old.side)) return 'size'
  if (Math.hypot(now.x + now.side/2 - old.x - old.side/2, now.y + now.side/2 - old.y - old.side/2) > old.side/4) return 'jump'
  return inside(now.x, now.side, width)*inside(now.y, now.side, height) < now.side**2/3 ? 'outside' : null
}

// ---- pose: flmk.core.pose

// The rotation of the reference head that explains the points best, without perspective: 3 x 3.
export function fitRotation(points, reference) {
  const c = mean(reference), m = mean(points)
  const X = reference.map(p => p.map((v, j) => v - c[j])), P = points.map(p => p.map((v, j) => v - m[j]))
  const column = (M, j) => M.map(r => r[j])
  const G = [0, 1, 2].map(i => [0, 1, 2].map(j => dotProduct(column(X, i), column(X, j))))
  const inverse = [crossProduct(G[1], G[2]), crossProduct(G[2], G[0]), crossProduct(G[0], G[1])]                        // of G, times its determinant
  const A = [0, 1].map(i => [0, 1, 2].map(j => dotProduct(column(P, i), column(X, j)))).map(r => inverse.map(g => dotProduct(r, g)))
  // the nearest matrix with orthonormal rows, (A A')^-1/2 A; a 2 x 2 root has a closed form
  const p = dotProduct(A[0], A[0]), q = dotProduct(A[0], A[1]), r = dotProduct(A[1], A[1]), s = Math.sqrt(p*r - q*q), t = s*Math.sqrt(p + r + 2*s)
  const R = [A[0].map((v, j) => ((r + s)*v - q*A[1][j])/t), A[1].map((v, j) => ((p + s)*v - q*A[0][j])/t)]
  return [...R, crossProduct(R[0], R[1])]
}

// Pitch, yaw and roll in degrees.
export const toAngles = R => [Math.atan2(-R[2][1], R[2][2]), Math.asin(clamp(R[2][0], -1, 1)), Math.atan2(R[1][0], R[0][0])]
  .map(a => a*180/Math.PI)

// The reference head, turned: (n, 2).
export const rotatePoints = (R, reference) => reference.map(p => [dotProduct(R[0], p), dotProduct(R[1], p)])
