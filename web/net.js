// The two networks, run by ONNX Runtime Web: by WebGPU where the browser has it, else by WebAssembly.
import { cropToInput, decodeMap, drifted, faceRoll, fitRotation, mapPoint, meanSigma, mirrored, overlap, reducedTo, refineSquare, scaleRow, searchInput,
  squareOfBox, squareOfPoints, suppress, toAngles, turned, unturnRow, uprightSquare } from './flmk.js'

const BATCH = 16                        // faces at once
let about, models, ort, detector, landmarks        // `models` are the two files

// ---- loading

export async function get(file) {
  const answer = await fetch(file).catch(() => ({}))
  if (!answer.ok) throw new Error(`${file} is missing beside this page: build it again with “make web”.`)
  return answer
}

async function sessions(gpu) {
  const [bundle, wasm] = gpu ? ['ort.webgpu.bundle.min.mjs', 'ort-wasm-simd-threaded.asyncify.wasm'] : ['ort.wasm.bundle.min.mjs', 'ort-wasm-simd-threaded.wasm']
  const wasmBinary = await (await get(wasm)).arrayBuffer()
  ort = await import(`./${bundle}`).catch(() => { throw new Error(`${bundle} is missing beside this page: build it again with “make web”.`) })
  const numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency ?? 1) : 1      // threads share memory, which a browser allows to isolated pages only
  Object.assign(ort.env.wasm, {numThreads, wasmBinary})
  ort.env.logLevel = 'error'            // and 3 for each session, or WebGPU tells which small steps the processor takes
  const made = model => ort.InferenceSession.create(model, {executionProviders: [gpu ? 'webgpu' : 'wasm'], logSeverityLevel: 3})
    .catch(e => { throw new Error(`The network cannot be loaded: ${e.message}`) })
  detector = await made(models[0]); landmarks = await made(models[1])
  about.runs = gpu ? 'WebGPU' : `WebAssembly, ${numThreads} thread${numThreads > 1 ? 's' : ''}`
}

// What model.json says, and by what the networks are run.
export async function load() {
  if (!('WebAssembly' in window)) throw new Error('This browser has no WebAssembly, or has it switched off; the network needs it. Any current browser has it.')
  about = await (await get('model.json')).json()
  models = []
  for (const file of ['faces.onnx', 'landmarks.onnx']) models.push(await (await get(file)).arrayBuffer())
  about.megabytes = models.reduce((s, m) => s + m.byteLength, 0)/1e6
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null)
  const gpu = adapter && !adapter.info?.isFallbackAdapter        // one in software is far slower than WebAssembly
  await (gpu ? sessions(true).catch(() => sessions(false)) : sessions(false))
  await find({data: new Uint8ClampedArray(4*64*64), width: 64, height: 64}); await runLandmarks(new Float32Array(3*about.img_size**2), 1)        // the first run is slow
  return about
}

// One run after the other. A graphics processor may be taken away at any time: then WebAssembly goes on.
let last = Promise.resolve()
const run = (network, inputs) => (last = last.catch(() => {}).then(async () => {
  const once = () => network().run(inputs())
  try { return await once() }
  catch (e) {
    if (about.runs !== 'WebGPU') throw e
    await sessions(false)
    return once()
  }
}))

// ---- faces

// What the detector finds in a picture: boxes, five points and scores, the best first.
export async function find(picture) {
  const {sides, strides, threshold} = about.detector, rows = [], whole = picture
  picture = reducedTo(whole, sides[0])
  for (const side of sides.filter((s, k) => !k || s < Math.max(whole.width, whole.height))) {
    const {input, dims, scale} = searchInput(picture, side)
    const maps = await run(() => detector, () => ({images: new ort.Tensor('uint8', input, dims)}))
    for (const stride of strides) rows.push(...decodeMap(maps[`stride${stride}`], stride, threshold).map(r => scaleRow(r, scale)))
  }
  return suppress(rows).map(r => scaleRow(r, [whole.width/picture.width, whole.height/picture.height]))
}

async function runLandmarks(input, n) {
  const {points, sigma} = await run(() => landmarks, () => ({faces: new ort.Tensor('float32', input, [n, 3, about.img_size, about.img_size])}))
  const [P, S] = [points.data, sigma.data], N = about.flip.length
  return Array.from({length: n}, (_, k) => ({points: Array.from({length: N}, (_, i) => [P[2*(k*N + i)], P[2*(k*N + i) + 1]]), sigma: Array.from(S.subarray(k*N, k*N + N))}))
}

// The mean of an answer and the one for the mirror image.
function average(one, other, size) {
  return {points: one.points.map((p, i) => { const q = other.points[about.flip[i]]; return [(p[0] + size - 1 - q[0])/2, (p[1] + q[1])/2] }),
    sigma: one.sigma.map((v, i) => (v + other.sigma[about.flip[i]])/2)}
}

// The points in squares of a picture, in its pixels. With `flip`, averaged with those for the mirror images.
export async function predict(picture, squares, flip = true) {
  const size = about.img_size, area = 3*size*size, found = []
  for (let k = 0; k < squares.length; k += BATCH) {
    const some = squares.slice(k, k + BATCH), n = some.length, input = new Float32Array(area*n*(flip ? 2 : 1))
    const piece = i => input.subarray(area*i, area*(i + 1))
    const maps = some.map((s, i) => cropToInput(picture, s, size, piece(i)))
    if (flip) some.forEach((_, i) => mirrored(piece(i), size, piece(n + i)))
    const answers = await runLandmarks(input, n*(flip ? 2 : 1))
    found.push(...some.map((square, i) => {
      const {points, sigma} = flip ? average(answers[i], answers[n + i], size) : answers[i]
      return {square, points: points.map(p => mapPoint(maps[i], p)), sigma: sigma.map(v => v*square.side/size)}
    }))
  }
  return found.map(f => ({...f, unsure: meanSigma(f.points, f.sigma, about), ...pose(f.points)}))
}

function pose(points) {
  if (!about.ibug) return {R: null, angles: null}
  const own = about.ibug.flatMap((k, i) => k === null ? [] : [i])
  const R = fitRotation(own.map(i => points[i]), own.map(i => about.reference[about.ibug[i]]))
  return {R, angles: toAngles(R)}
}

// The largest mean sigma of a face: less for a box that the detector is not sure of, more where it is very sure. flmk.inference.photos.sigma_limits.
const sigmaLimit = score => score === undefined ? about.max_sigma : about.max_sigma*Math.exp((score - about.detector.sure)/about.detector.scale)

// What may be a face, the surest first: a second time in tighter crops, with the evidence for it.
async function weigh(picture, rows) {
  const first = await predict(picture, rows.map(r => squareOfBox(r.box, r.five && faceRoll(r.five))), false)
  const found = await predict(picture, first.map(f => refineSquare(f.square, f.points, about, picture)))
  found.forEach((f, k) => Object.assign(f, {score: rows[k].score, limit: Math.max(about.max_sigma, sigmaLimit(rows[k].score)), turn: rows[k].turn ?? 0,
    evidence: Math.log(sigmaLimit(rows[k].score)/f.unsure), around: squareOfPoints(f.points, about)}))
  return found.toSorted((a, b) => b.evidence - a.evidence)
}

// Of what lies on each other the surest, with the evidence of each turn in which it was seen. flmk.inference.photos._confirmed.
function places(found) {
  const kept = []
  for (const f of found) {
    let place = kept.find(k => overlap(f.around, k.around) >= .5)
    if (!place) kept.push(place = {...f, seen: Array(4).fill(about.detector.unseen)})
    place.seen[f.turn] = Math.max(place.seen[f.turn], f.evidence)
  }
  return kept
}

// The faces of a detector's rows, from left to right: only what the points confirm, each once.
async function predictRows(picture, rows) {
  return places(await weigh(picture, rows)).filter(f => !(f.evidence < 0)).sort((a, b) => a.around.x - b.around.x)
}

// The face of a picture that is a face crop, which the detector may not show. flmk.inference.photos.picture_box.
async function predictWhole(picture) {
  const {width: w, height: h} = picture, side = Math.max(w, h)/1.5
  return (await weigh(picture, [{box: [(w - side)/2, (h - side)/2, side, side]}])).filter(f => f.evidence >= 0)
}

// The picture is searched in its three other turns, too.
async function predictTurned(picture, rows) {
  const {most, least} = about.detector, small = reducedTo(picture, most), scale = [picture.width/small.width, picture.height/small.height], all = [...rows]
  for (const turn of [1, 2, 3]) for (const row of await find(turned(small, turn))) all.push({...scaleRow(unturnRow(row, turn, small), scale), turn})
  return places(await weigh(picture, all)).filter(f => f.seen.reduce((s, e) => s + e)/4 > least).sort((a, b) => a.around.x - b.around.x)
}

// The faces of a photograph; `rows` is what the detector saw in it. flmk.inference.photos.predict_photo.
export async function predictPhoto(picture, rows) {
  for (const way of [predictRows, predictWhole, predictTurned]) {
    const faces = await way(picture, rows)
    if (faces.length) return faces
  }
  return []
}

// Follows the faces of a camera or a video, as flmk.inference.video does: call `step` with one frame after the other.
export class Tracker {
  tracks = []; found = 0; searched = -Infinity

  // The frame's faces, and how many milliseconds the detector took.
  async step(picture, milliseconds) {
    const now = await predict(picture, this.tracks.map(t => t.square), false)
    this.tracks = this.tracks.map((t, k) => ({...t, ...now[k], next: uprightSquare(now[k].points, about, t.square.angle)}))
      .filter(t => !drifted(t.square, t.next, t.unsure, picture, t.limit))
      .map(t => ({...t, square: t.next}))
    if (this.tracks.length && milliseconds - this.searched < 1000) return {faces: this.tracks, searched: 0}
    const start = performance.now(), rows = await find(picture), searched = performance.now() - start
    this.searched = milliseconds
    const around = s => ({...s, angle: 0})
    let seen = await predictRows(picture, rows)
    if (!this.tracks.length && !seen.length) seen = await predictWhole(picture)
    for (const f of seen)
      if (this.tracks.every(t => overlap(around(t.square), f.around) < .5)) this.tracks.push({...f, number: this.found++, square: uprightSquare(f.points, about, f.square.angle)})
    return {faces: this.tracks, searched}
  }
}
