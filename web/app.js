// The page: a picture comes in by drop, choice, paste or camera, goes through the network, and is drawn upon.
import { faceSquare, fitRotation, fitSquare, toAngles, turned } from './flmk.js'

const $ = id => document.getElementById(id)
const [frame, canvas, marks, head, video] = [$('frame'), $('picture'), $('marks'), $('head'), document.createElement('video')]
const ctx = canvas.getContext('2d', {alpha: false, willReadFrequently: true})
const MOST = 16e6                       // pixels on the canvas; some phones stop there
const tidy = x => (Math.abs(x) < .05 ? 0 : x).toFixed(1).replace('-', '−')

let about, run                          // model.json; a function from a (3, S, S) picture to its points and their sigma
let name = '', zoom = 1                 // of the picture; its pixels for one of the canvas, 1 unless it is huge
let square = null                       // {x, y, side} on the canvas, or null: the whole picture
let points = null, angles = null        // on the canvas; pitch, yaw, roll
let sigma = null                        // the points' standard deviations, in pixels of the canvas
let stream = null                       // of the camera
let shown = 0                           // counts what the canvas has shown

// ---- saying

function say(text) { $('status').textContent = text }
function fail(text) { $('alert').textContent = text }
let saying
function sayResult() {                  // after a pause, for a drag gives many results a second
  clearTimeout(saying)
  saying = setTimeout(() => {
    const where = square ? `square of ${Math.round(square.side*zoom)} pixels at ${Math.round(square.x*zoom)}, ${Math.round(square.y*zoom)}` : 'whole picture'
    say(`${name}, ${where}: 68 points. ` + ['Pitch', 'Yaw', 'Roll'].map((n, i) => `${n} ${tidy(angles[i])}°`).join(', ') + '.')
  }, 400)
}

// ---- drawing

const path = pts => 'M' + pts.map(p => (p[0] + .5) + ' ' + (p[1] + .5)).join('L')          // pixel 0 has its middle at .5
const dots = pts => pts.map(p => `M${p[0] + .5} ${p[1] + .5}h0`).join('')
const discs = (pts, radii) => pts.map((p, i) => radii[i] > 0 ? `M${p[0] + .5 - radii[i]} ${p[1] + .5}a${radii[i]} ${radii[i]} 0 1 0 ${2*radii[i]} 0a${radii[i]} ${radii[i]} 0 1 0 ${-2*radii[i]} 0` : '').join('')
const curves = pts => Object.entries(about.regions).map(([region, idx]) =>
  [region, path(idx.map(i => pts[i])) + (about.closed.includes(region) ? 'Z' : '')])

function put(svg, key, d, type, colour) {
  let p = svg.querySelector(`[data-key=${key}]`)
  if (!p) {
    p = svg.appendChild(document.createElementNS(svg.namespaceURI, 'path'))
    p.dataset.key = key; p.setAttribute('class', type)
    if (colour) p.setAttribute('stroke', `rgb(${colour})`)
  }
  p.setAttribute('d', d)
}

function draw() {
  const [w, h] = [canvas.width, canvas.height], s = square
  marks.setAttribute('viewBox', `0 0 ${w} ${h}`)
  const across = (s?.side ?? Math.max(w, h))*canvas.clientWidth/w                  // of the square on the screen: small faces get small dots
  marks.style.setProperty('--dot', Math.min(5, Math.max(2, across/90)) + 'px')
  put(marks, 'shade', s ? `M0 0H${w}V${h}H0ZM${s.x} ${s.y}h${s.side}v${s.side}h${-s.side}Z` : '', 'shade')
  put(marks, 'square', s ? `M${s.x} ${s.y}h${s.side}v${s.side}h${-s.side}Z` : '', 'square')
  const lines = points ? curves(points) : []
  put(marks, 'sigma', points && sigma ? discs(points, sigma) : '', 'sigma')            // within a disc lies the true point two times in five
  put(marks, 'halo', lines.map(l => l[1]).join(''), 'halo')
  for (const [region, d] of lines) {
    put(marks, region, d, 'line', about.colours[region])
    put(marks, region + '_dots', dots(about.regions[region].map(i => points[i])), 'dots', about.colours[region])
  }
}

function drawHead(R) { for (const [region, d] of curves(turned(R, about.reference).map(p => [p[0] - .5, p[1] - .5]))) put(head, region, d, 'line') }

// an empty stage shows the reference head
function drawEmpty() {
  const [c, s] = [Math.cos(.45), Math.sin(.45)]
  points = turned([[c, 0, -s], [0, 1, 0]], about.reference).map(p => [p[0]*1.5 + 2.1 - .5, p[1]*1.5 + 1.15 - .5])
  draw(); points = null
}

const sides = [['down', 'up'], ['to the left', 'to the right'], ['anticlockwise', 'clockwise']]
function show(cut, net) {
  draw()
  const R = fitRotation(points, about.reference)
  angles = toAngles(R)
  drawHead(R)
  ;['pitch', 'yaw', 'roll'].forEach((id, i) => {
    const word = document.createElement('small')
    word.textContent = Math.abs(angles[i]) < .5 ? 'straight' : sides[i][+(angles[i] > 0)]
    $(id).replaceChildren(tidy(angles[i]) + '°', word)
  })
  $('cut').textContent = cut.toFixed(1) + ' ms'
  $('net').textContent = net.toFixed(1) + ' ms'
  if (stream) return
  $('numbers').textContent = points.map((p, i) => [...p.map(v => ((v + .5)*zoom - .5).toFixed(2)), (sigma[i]*zoom).toFixed(2)].join(' ')).join('\n')
  $('copy').disabled = $('fit').disabled = false
  sayResult()
}

// ---- predicting

async function predictOnce() {
  const start = performance.now(), s = square, picture = shown
  const pixels = s ? ctx.getImageData(s.x, s.y, s.side, s.side) : ctx.getImageData(0, 0, canvas.width, canvas.height)
  const {input, back, scale} = fitSquare(pixels, about.img_size)
  const cut = performance.now()
  const found = await run(input)
  const net = performance.now()
  if (picture !== shown) return         // another one came meanwhile
  points = found.points.map(back).map(p => s ? [p[0] + s.x, p[1] + s.y] : p)
  sigma = found.sigma.map(v => v*scale)
  show(cut - start, net - cut)
}

let busy = false, again = false
async function predict() {              // one at a time; of those asked for meanwhile, the last
  again = true
  if (busy) return
  busy = true
  try {
    while (again) { again = false; await predictOnce(); await new Promise(requestAnimationFrame) }
  } catch (e) { fail(`The network could not run on this picture: ${e.message}`) }
  busy = false
}

// ---- pictures

let opening = 0
async function open(blob, called) {
  const turn = ++opening
  let bitmap
  try { bitmap = await createImageBitmap(blob, {imageOrientation: 'from-image', colorSpaceConversion: 'none'}) }
  catch {
    const why = blob.size ? 'is not one, is damaged, or has a format that this browser does not know. JPEG, PNG and WebP work everywhere.' : 'is empty.'
    return fail(`“${called}” cannot be read as a picture: it ${why}`)
  }
  if (turn !== opening) return bitmap.close()
  stopCamera()
  fail('')
  name = called
  zoom = Math.max(1, Math.sqrt(bitmap.width*bitmap.height/MOST))
  fill(bitmap, Math.max(1, Math.round(bitmap.width/zoom)), Math.max(1, Math.round(bitmap.height/zoom)))
  bitmap.close()
  square = points = null
  for (const id of ['smaller', 'larger', 'whole']) $(id).disabled = false
  $('keys').hidden = false
  draw(); predict()
}

function fill(source, w, h, mirrored = false) {
  canvas.width = w; canvas.height = h; shown++
  ctx.imageSmoothingQuality = 'high'
  if (mirrored) ctx.setTransform(-1, 0, 0, 1, w, 0)
  ctx.drawImage(source, 0, 0, w, h)
  ctx.resetTransform()
  frame.style.setProperty('--aspect', w/h)
  if ('empty' in frame.dataset) {
    delete frame.dataset.empty
    Object.entries({tabindex: 0, role: 'application', 'aria-label': 'Picture: square around the face', 'aria-describedby': 'keys'})
      .forEach(([k, v]) => frame.setAttribute(k, v))
  }
}

function take(files) {
  if (!about) return
  const file = files[0]
  if (file) open(file, file.name || 'pasted picture')
  else fail('That was no file. Save the picture first, then drop or choose it: this page loads nothing from other sites.')
}

$('choose').onclick = () => $('file').click()
$('file').onchange = e => { if (e.target.files.length) take(e.target.files); e.target.value = '' }
$('example').onclick = async () => {
  const answer = await fetch('example.png').catch(() => ({}))
  if (answer.ok) open(await answer.blob(), 'A rendered face')
  else fail('example.png is missing beside this page: build it again with “make web”.')
}
addEventListener('paste', e => { if (e.clipboardData.files.length) take(e.clipboardData.files) })
addEventListener('dragover', e => { e.preventDefault(); document.body.classList.add('over') })
addEventListener('dragleave', e => { if (!e.relatedTarget) document.body.classList.remove('over') })
addEventListener('drop', e => { e.preventDefault(); document.body.classList.remove('over'); take(e.dataTransfer.files) })

// ---- the square

function setSquare(s) {
  const side = Math.round(Math.min(Math.max(s.side, 8), 2*Math.max(canvas.width, canvas.height)))
  const inside = (v, most) => Math.round(Math.min(Math.max(v, -side/2), most - side/2))       // its middle stays on the picture
  square = {x: inside(s.x, canvas.width), y: inside(s.y, canvas.height), side}
  draw(); predict()
}
function now() {                        // the square, or one that holds the whole picture
  const side = Math.max(canvas.width, canvas.height)
  return square ?? {x: (canvas.width - side)/2, y: (canvas.height - side)/2, side}
}
function resize(factor) {
  const s = now(), side = Math.round(s.side*factor) + Math.sign(factor - 1)
  setSquare({x: s.x + (s.side - side)/2, y: s.y + (s.side - side)/2, side})
}
function whole() { square = null; draw(); predict() }

$('smaller').onclick = () => resize(1/1.1)
$('larger').onclick = () => resize(1.1)
$('fit').onclick = () => points && setSquare(faceSquare(points))
$('whole').onclick = () => stream ? (square = middle()) : whole()

frame.onkeydown = e => {
  if (stream || e.ctrlKey || e.metaKey || e.altKey) return
  const s = now(), far = Math.max(1, Math.round(s.side*(e.shiftKey ? .1 : .01)))
  const move = {ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far]}[e.key]
  if (move) setSquare({...s, x: s.x + move[0], y: s.y + move[1]})
  else if (e.key === '+' || e.key === '=') resize(1.03)
  else if (e.key === '-' || e.key === '−') resize(1/1.03)
  else if (e.key === 'Escape') whole()
  else return
  e.preventDefault()
}

let grip = null                         // what the pointer does: a function of where it is
frame.onpointerdown = e => {
  if (!about || e.button) return
  if ('empty' in frame.dataset || stream) return
  const at = where(e), s = square
  const within = s && at[0] > s.x && at[0] < s.x + s.side && at[1] > s.y && at[1] < s.y + s.side
  frame.setPointerCapture(e.pointerId)
  grip = within
    ? p => setSquare({...s, x: s.x + p[0] - at[0], y: s.y + p[1] - at[1]})
    : p => {
        const d = [p[0] - at[0], p[1] - at[1]], side = Math.max(...d.map(Math.abs))
        if (side >= 8) setSquare({x: d[0] < 0 ? at[0] - side : at[0], y: d[1] < 0 ? at[1] - side : at[1], side})
      }
}
frame.onclick = () => { if (about && 'empty' in frame.dataset) $('file').click() }
frame.onpointermove = e => grip?.(where(e))
frame.onpointerup = frame.onpointercancel = () => { grip = null }
function where(e) {
  const r = canvas.getBoundingClientRect()
  return [(e.clientX - r.left)*canvas.width/r.width, (e.clientY - r.top)*canvas.height/r.height]
}

$('copy').onclick = async () => {
  try { await navigator.clipboard.writeText($('numbers').textContent); say('The 68 points are in the clipboard.') }
  catch { fail('The browser did not let the page write to the clipboard: mark the numbers and copy them.') }
}

// ---- the camera

function middle() {
  const side = Math.round(.9*Math.min(canvas.width, canvas.height))
  return {x: Math.round((canvas.width - side)/2), y: Math.round((canvas.height - side)/2), side}
}
function follow() {                     // the square where the face was; back to the middle where that makes no sense
  const s = faceSquare(points), [cx, cy] = [s.x + s.side/2, s.y + s.side/2]
  const lost = !(s.side > .15*Math.min(canvas.width, canvas.height) && s.side < 2*Math.max(canvas.width, canvas.height)
    && cx > 0 && cy > 0 && cx < canvas.width && cy < canvas.height)
  const mix = k => Math.round((s[k] + square[k])/2)                     // halfway, for a steadier hand
  square = lost ? middle() : {x: mix('x'), y: mix('y'), side: mix('side')}
}

let asking = false
async function startCamera() {
  if (!navigator.mediaDevices) return fail('A browser gives the camera to a page from this machine or over https only.')
  let got
  if (asking) return
  asking = true
  try { got = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'user', width: 640, height: 480}}) }
  catch (e) {
    return fail({NotAllowedError: 'The browser did not let the page use the camera: allow it beside the address, then try again.',
      NotFoundError: 'There is no camera on this machine.'}[e.name] ?? `The camera cannot be used: ${e.message}`)
  } finally { asking = false }
  video.srcObject = got; video.muted = video.playsInline = true
  try { await video.play() }
  catch (e) { got.getTracks().forEach(t => t.stop()); video.srcObject = null; return fail(`The camera's picture cannot be shown: ${e.message}`) }
  fail('')
  stream = got; name = 'Camera'; zoom = 1; points = square = null; $('numbers').textContent = ''
  frame.dataset.camera = ''
  $('keys').hidden = true
  for (const id of ['smaller', 'larger', 'fit', 'copy']) $(id).disabled = true
  $('whole').disabled = false; $('whole').textContent = 'Back to the middle'
  $('camera').textContent = 'Stop the camera'; $('camera').setAttribute('aria-pressed', true)
  say('The camera is on. Put your face in the middle; the square then follows it.')
  const mirrored = got.getVideoTracks()[0].getSettings().facingMode !== 'environment'
  got.getVideoTracks()[0].onended = () => { stopCamera(); fail('The camera stopped.') }
  while (stream === got) {
    fill(video, video.videoWidth, video.videoHeight, mirrored)
    square ??= middle()
    try { await predictOnce() } catch (e) { stopCamera(); fail(`The network could not run: ${e.message}`); break }
    if (stream === got) follow()
    await new Promise(requestAnimationFrame)
  }
}

function stopCamera() {                 // the last picture stays
  if (!stream) return
  stream.getTracks().forEach(t => t.stop())
  stream = video.srcObject = null
  delete frame.dataset.camera
  $('whole').textContent = 'Whole picture'
  $('camera').textContent = 'Use the camera'; $('camera').setAttribute('aria-pressed', false)
  $('keys').hidden = false
  for (const id of ['smaller', 'larger']) $(id).disabled = false
}
$('camera').onclick = () => { if (stream) { stopCamera(); predict() } else startCamera() }
addEventListener('pagehide', stopCamera)

// ---- start

async function get(file) {
  const answer = await fetch(file).catch(() => ({}))
  if (!answer.ok) throw new Error(`${file} is missing beside this page: build it again with “make web”.`)
  return answer
}

async function start() {
  if (!('WebAssembly' in window)) throw new Error('This browser has no WebAssembly, or has it switched off; the network needs it. Any current browser has it.')
  const said = await (await get('model.json')).json()
  const model = await (await get('landmarks.onnx')).arrayBuffer()
  const wasm = await (await get('ort-wasm-simd-threaded.wasm')).arrayBuffer()
  const ort = await import('./ort.wasm.bundle.min.mjs').catch(() => { throw new Error('ort.wasm.bundle.min.mjs is missing beside this page: build it again with “make web”.') })
  Object.assign(ort.env.wasm, {numThreads: 1, wasmBinary: wasm})        // more threads would need special headers from the server
  const session = await ort.InferenceSession.create(model, {executionProviders: ['wasm']})
    .catch(e => { throw new Error(`The network cannot be loaded: ${e.message}`) })
  const S = said.img_size
  let last = Promise.resolve()          // one run after the other
  run = async input => {
    const {points, sigma} = await (last = last.catch(() => {}).then(() => session.run({faces: new ort.Tensor('float32', input, [1, 3, S, S])})))
    return {points: Array.from({length: 68}, (_, i) => [points.data[2*i], points.data[2*i + 1]]), sigma: Array.from(sigma.data)}
  }
  await run(new Float32Array(3*S*S))    // the first run is slow
  about = said
  $('about').textContent = `Network: ${about.name}, ${(model.byteLength/1e6).toFixed(1)} MB, trained on ${about.trained_on}; NME ${about.nme}. Licence: ${about.licence}.`
  for (const id of ['choose', 'camera', 'example']) $(id).disabled = false
  drawHead([[1, 0, 0], [0, 1, 0]]); drawEmpty()
  document.body.classList.add('ready')
  say('Ready for a picture.')
}
start().catch(e => { document.body.classList.add('ready'); say(''); fail(e.message) })
