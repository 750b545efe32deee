// The page: a picture or a video comes in by drop, choice, paste or camera, goes through the two networks, and is drawn upon.
import { find, get, load, predict, predictPhoto, Tracker } from './net.js'
import { overlap, rotatePoints, squareOfPoints } from './flmk.js'

const $ = id => document.getElementById(id)
const [frame, canvas, marks, head, video] = [$('frame'), $('picture'), $('marks'), $('head'), document.createElement('video')]
const ctx = canvas.getContext('2d', {alpha: false, willReadFrequently: true})
const MOST = 16e6                       // pixels on the canvas; some phones stop there
const tidy = x => (Math.abs(x) < .05 ? 0 : x).toFixed(1).replace('-', '−')

let about                               // model.json
let name = '', zoom = 1                 // of the picture; its pixels for one of the canvas, 1 unless it is huge
let found = []                          // the faces that were found: {points, sigma, R, angles, square, score}, in pixels of the canvas
let square = null, drawn = null         // the square that was drawn instead, {x, y, side, angle}, and its face
let faces = []                          // all that are shown
let chosen = 0                          // number of the face whose head is shown
let live = null                         // a camera's stream, or a video's address
let shown = 0                           // counts what the canvas has shown

// ---- saying

function say(text) { $('status').textContent = text }
function fail(text) { $('alert').textContent = text }
const pose = f => f.angles ? ' ' + ['Pitch', 'Yaw', 'Roll'].map((n, i) => `${n} ${tidy(f.angles[i])}°`).join(', ') + '.' : ''
const counted = n => n === 1 ? '1 face' : `${n} faces`
let saying
function sayResult() {                  // after a pause, for a drag gives many results a second
  clearTimeout(saying)
  saying = setTimeout(() => {
    if (square) say(`${name}, square of ${Math.round(square.side*zoom)} pixels at ${Math.round(square.x*zoom)}, ${Math.round(square.y*zoom)}: ${about.flip.length} points.` + pose(drawn))
    else if (!faces.length) say(`${name}: no face found. If there is one, draw a square around the head.`)
    else say(`${name}: ${counted(faces.length)}.` + (faces.length === 1 ? pose(faces[0]) : ''))
  }, 400)
}

// ---- drawing

const path = pts => 'M' + pts.map(p => (p[0] + .5) + ' ' + (p[1] + .5)).join('L')          // pixel 0 has its middle at .5
const dots = pts => pts.map(p => `M${p[0] + .5} ${p[1] + .5}h0`).join('')
const discs = (pts, radii) => pts.map((p, i) => radii[i] > 0 ? `M${p[0] + .5 - radii[i]} ${p[1] + .5}a${radii[i]} ${radii[i]} 0 1 0 ${2*radii[i]} 0a${radii[i]} ${radii[i]} 0 1 0 ${-2*radii[i]} 0` : '').join('')
const box = s => `M${s.x} ${s.y}h${s.side}v${s.side}h${-s.side}Z`
const curves = pts => Object.entries(about.regions).map(([region, idx]) =>
  [region, path(idx.map(i => pts[i])) + (about.closed.includes(region) ? 'Z' : '')])
const reference = pts => Object.entries(about.head.regions).map(([region, idx]) => [region, path(idx.map(i => pts[i])) + (about.head.closed.includes(region) ? 'Z' : '')])

const svg = (tag, attributes, text = '') => {
  const e = document.createElementNS(marks.namespaceURI, tag)
  Object.entries(attributes).forEach(([k, v]) => e.setAttribute(k, v))
  e.textContent = text
  return e
}
const line = (type, d, colour) => svg('path', {class: type, d, ...(colour && {stroke: `rgb(${colour})`})})

// One face: sigma's discs (within one lies the true point two times in five), lines and dots, its number, and where it looks.
function faceMarks(f) {
  const g = svg('g', {class: f.number === chosen && faces.length > 1 ? 'face chosen' : 'face'}), s = squareOfPoints(f.points, about), pixel = canvas.width/canvas.clientWidth
  g.style.setProperty('--dot-size', Math.min(5, Math.max(1.5, s.side/pixel/90)) + 'px')               // small faces get small dots
  const lines = curves(f.points)
  g.append(line('sigma', discs(f.points, f.sigma)), line('halo', lines.map(l => l[1]).join('')))
  for (const [region, d] of lines) g.append(line('line', d, about.colours[region]), line('dots', dots(about.regions[region].map(i => f.points[i])), about.colours[region]))
  if (f.R && about.nose !== null) {
    const nose = f.points[about.nose], far = .35*s.side
    g.append(line('gaze', path([nose, [nose[0] - f.R[0][2]*far, nose[1] - f.R[1][2]*far]])))
  }
  if (faces.length > 1) g.append(svg('text', {x: s.x + s.side/5, y: s.y + s.side/4, 'font-size': 15*pixel}, f.number))
  return g
}

function draw() {
  marks.setAttribute('viewBox', `0 0 ${canvas.width} ${canvas.height}`)
  marks.replaceChildren(...faces.map(faceMarks), line('square', square ? box(square) : ''))
}

function drawHead(R) { head.replaceChildren(...reference(rotatePoints(R, about.reference).map(p => [p[0] - .5, p[1] - .5])).map(([, d]) => line('line', d))) }

// an empty stage shows the reference head
function drawEmpty() {
  const [c, s] = [Math.cos(.45), Math.sin(.45)]
  marks.setAttribute('viewBox', `0 0 ${canvas.width} ${canvas.height}`)
  marks.replaceChildren(...reference(rotatePoints([[c, 0, -s], [0, 1, 0]], about.reference).map(p => [p[0]*1.5 + 2.1 - .5, p[1]*1.5 + 1.15 - .5])).map(([, d]) => line('line', d)))
}

const sides = [['down', 'up'], ['to the left', 'to the right'], ['anticlockwise', 'clockwise']]
function showPose() {
  const f = faces.find(f => f.number === chosen)
  $('whose').textContent = faces.length > 1 && f ? `Head pose of face ${f.number}` : 'Head pose'
  drawHead(f?.R ?? [[1, 0, 0], [0, 1, 0]])
  ;['pitch', 'yaw', 'roll'].forEach((id, i) => {
    if (!f?.angles) return void ($(id).textContent = '–')
    const word = document.createElement('small')
    word.textContent = Math.abs(f.angles[i]) < .5 ? 'straight' : sides[i][+(f.angles[i] > 0)]
    $(id).replaceChildren(tidy(f.angles[i]) + '°', word)
  })
}

function showList() {                   // a row a face, each with a button that chooses it
  $('faces').hidden = faces.length < 2
  $('rows').replaceChildren(...faces.map(f => {
    const row = document.createElement('tr'), th = document.createElement('th'), button = document.createElement('button')
    button.textContent = f.number; button.setAttribute('aria-label', `Show face ${f.number}`); button.setAttribute('aria-pressed', f.number === chosen)
    button.onclick = () => choose(f.number, true)
    th.scope = 'row'; th.append(button)
    row.append(th, ...(f.angles ?? []).map(a => Object.assign(document.createElement('td'), {textContent: tidy(a) + '°'})))
    return row
  }))
}

function choose(number, focus) {
  chosen = number
  draw(); showPose(); showList()
  if (focus) $('rows').querySelector('[aria-pressed=true]')?.focus()
}

const scaled = p => p.map(v => ((v + .5)*zoom - .5).toFixed(2))
const asText = f => `face ${f.number}\n` + f.points.map((p, i) => [...scaled(p), (f.sigma[i]*zoom).toFixed(2)].join(' ')).join('\n')

function show(times) {
  if (!faces.some(f => f.number === chosen)) chosen = faces.toSorted((a, b) => b.square.side - a.square.side)[0]?.number ?? 0
  draw(); showPose()
  $('runs').textContent = about.runs
  for (const [id, ms] of Object.entries(times)) if (ms) $(id).textContent = ms.toFixed(1) + ' ms'
  if (live) return
  showList()
  $('numbers').textContent = faces.map(asText).join('\n')
  $('copy').disabled = $('fit').disabled = !faces.length
  $('whole').disabled = !square
  sayResult()
}

// ---- predicting

const pixels = () => ctx.getImageData(0, 0, canvas.width, canvas.height)
const cached = {shown: 0}
function picture() {                    // the canvas' pixels, read once
  if (cached.shown !== shown) Object.assign(cached, {shown, pixels: pixels(), rows: null})
  return cached.pixels
}

async function predictOnce() {
  const at = shown, s = square, p = picture(), times = {}
  if (s) {
    const start = performance.now(), [face] = await predict(p, [s])
    times.net = performance.now() - start
    if (at !== shown || s !== square) return         // another one came meanwhile
    drawn = face
    faces = [...found.filter(f => overlap({...f.square, angle: 0}, s) < .5), face]
  } else if (!cached.rows) {
    const start = performance.now(), rows = await find(p), between = performance.now(), all = await predictPhoto(p, rows)
    Object.assign(times, {search: between - start, net: performance.now() - between})
    if (at !== shown) return
    faces = found = all; cached.rows = rows
  } else faces = found
  faces = faces.toSorted((a, b) => squareOfPoints(a.points, about).x - squareOfPoints(b.points, about).x)
  faces.forEach((f, k) => { f.number = k })
  if (s) chosen = drawn.number
  show(times)
}

let busy = false, again = false
async function update() {               // one at a time; of those asked for meanwhile, the last
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
  if (blob.type.startsWith('video/')) return startVideo(blob, called)
  let bitmap
  try { bitmap = await createImageBitmap(blob, {imageOrientation: 'from-image', colorSpaceConversion: 'none'}) }
  catch {
    const why = blob.size ? 'is not one, is damaged, or has a format that this browser does not know. JPEG, PNG and WebP work everywhere.' : 'is empty.'
    return fail(`“${called}” cannot be read as a picture: it ${why}`)
  }
  if (turn !== opening) return bitmap.close()
  stopLive()
  fail(''); say(`Looking for faces in ${called}.`)
  name = called
  zoom = Math.max(1, Math.sqrt(bitmap.width*bitmap.height/MOST))
  fill(bitmap, Math.max(1, Math.round(bitmap.width/zoom)), Math.max(1, Math.round(bitmap.height/zoom)))
  bitmap.close()
  square = null; faces = found = []
  for (const id of ['smaller', 'larger']) $(id).disabled = false
  $('keys').hidden = false
  draw(); update()
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
    Object.entries({tabindex: 0, role: 'application', 'aria-label': 'Picture: square around a face', 'aria-describedby': 'keys'})
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
$('example').onclick = () => get('example.png').then(a => a.blob()).then(b => open(b, 'Three rendered people')).catch(e => fail(e.message))
addEventListener('paste', e => { if (e.clipboardData.files.length) take(e.clipboardData.files) })
addEventListener('dragover', e => { e.preventDefault(); document.body.classList.add('over') })
addEventListener('dragleave', e => { if (!e.relatedTarget) document.body.classList.remove('over') })
addEventListener('drop', e => { e.preventDefault(); document.body.classList.remove('over'); take(e.dataTransfer.files) })

// ---- the square that corrects

function setSquare(s) {
  const side = Math.round(Math.min(Math.max(s.side, 8), 2*Math.max(canvas.width, canvas.height)))
  const inside = (v, most) => Math.round(Math.min(Math.max(v, -side/2), most - side/2))       // its middle stays on the picture
  square = {x: inside(s.x, canvas.width), y: inside(s.y, canvas.height), side, angle: 0}
  draw(); update()
}
function now() {                        // the square, or the chosen face's, or one that holds the whole picture
  const side = Math.max(canvas.width, canvas.height), f = faces.find(f => f.number === chosen)
  return square ?? (f ? squareOfPoints(f.points, about) : {x: (canvas.width - side)/2, y: (canvas.height - side)/2, side})
}
function resize(factor) {
  const s = now(), side = Math.round(s.side*factor) + Math.sign(factor - 1)
  setSquare({x: s.x + (s.side - side)/2, y: s.y + (s.side - side)/2, side})
}
function back() { square = drawn = null; draw(); update() }

$('smaller').onclick = () => resize(1/1.1)
$('larger').onclick = () => resize(1.1)
$('fit').onclick = () => { const f = faces.find(f => f.number === chosen); if (f) setSquare(squareOfPoints(f.points, about)) }
$('whole').onclick = back

frame.onkeydown = e => {
  if (live || e.ctrlKey || e.metaKey || e.altKey || 'empty' in frame.dataset) return
  const s = now(), far = Math.max(1, Math.round(s.side*(e.shiftKey ? .1 : .01)))
  const move = {ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far]}[e.key]
  if (move) setSquare({...s, x: s.x + move[0], y: s.y + move[1]})
  else if (e.key === '+' || e.key === '=') resize(1.03)
  else if (e.key === '-' || e.key === '−') resize(1/1.03)
  else if (e.key === 'Escape') back()
  else return
  e.preventDefault()
}

let grip = null                         // what the pointer does: a function of where it is
const within = (s, p) => s && p[0] > s.x && p[0] < s.x + s.side && p[1] > s.y && p[1] < s.y + s.side
frame.onpointerdown = e => {
  if (!about || e.button || 'empty' in frame.dataset) return
  const at = where(e), s = square, under = faces.find(f => within(squareOfPoints(f.points, about), at))
  if (under && !within(s, at)) choose(under.number)
  if (live) return
  frame.setPointerCapture(e.pointerId)
  grip = within(s, at)
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
  try { await navigator.clipboard.writeText($('numbers').textContent); say('The points are in the clipboard.') }
  catch { fail('The browser did not let the page write to the clipboard: mark the numbers and copy them.') }
}

// ---- camera and video

video.muted = video.loop = video.playsInline = true

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
  stopLive()
  const [track] = got.getVideoTracks()
  track.onended = () => { stopLive(); fail('The camera stopped.') }
  video.srcObject = got
  await follow(got, 'Camera', track.getSettings().facingMode !== 'environment')
}

async function startVideo(blob, called) {
  stopLive()
  const address = URL.createObjectURL(blob)
  video.src = address
  await follow(address, called)
}

async function follow(what, called, mirrored = false) {
  live = what
  $('camera').textContent = mirrored ? 'Stop the camera' : 'Stop'; $('camera').setAttribute('aria-pressed', true)     // it may wait for its first picture
  try { await video.play() }
  catch (e) { if (live === what) { stopLive(); fail(`“${called}” cannot be shown as a video: ${e.message}`) } return }
  if (live !== what) return             // stopped meanwhile, or overtaken
  fail('')
  name = called; zoom = 1; square = drawn = null; faces = found = []; chosen = 0; $('numbers').textContent = ''
  frame.dataset.live = ''
  $('keys').hidden = true; $('faces').hidden = true
  for (const id of ['smaller', 'larger', 'fit', 'whole', 'copy']) $(id).disabled = true
  say(`${called}: faces are followed as they move.`)
  const tracker = new Tracker()
  while (live === what) {
    const w = video.videoWidth, h = video.videoHeight, small = Math.min(1, 1280/Math.max(w, h))
    fill(video, Math.round(w*small), Math.round(h*small), mirrored)
    try {
      const start = performance.now(), {faces: some, searched} = await tracker.step(picture(), start)
      if (live !== what) break
      faces = some
      show({search: searched, net: performance.now() - start - searched})
    } catch (e) { stopLive(); fail(`The network could not run: ${e.message}`); break }
    await new Promise(requestAnimationFrame)
  }
}

function stopLive() {                   // the last picture stays
  if (!live) return
  if (live.getTracks) live.getTracks().forEach(t => t.stop())
  else URL.revokeObjectURL(live)
  live = video.srcObject = null
  video.removeAttribute('src')
  delete frame.dataset.live
  $('camera').textContent = 'Use the camera'; $('camera').setAttribute('aria-pressed', false)
  $('keys').hidden = false
  for (const id of ['smaller', 'larger']) $(id).disabled = false
}
$('camera').onclick = () => {
  if (!live) return startCamera()
  stopLive()
  if (!('empty' in frame.dataset)) update()
}
addEventListener('pagehide', stopLive)

// ---- start

// A service worker keeps what the page has loaded, so that it works without a network.
async function keep() {
  const worker = await navigator.serviceWorker?.register('sw.js').then(() => navigator.serviceWorker.ready)
  worker?.active.postMessage([location.href, ...performance.getEntriesByType('resource').map(r => r.name), 'example.png', 'manifest.webmanifest', 'icon-512.png'].map(u => new URL(u, location).href)
    .filter(u => u.startsWith(location.origin)).filter((u, k, all) => all.indexOf(u) === k))
}

async function start() {
  about = await load()
  $('about').textContent = `Networks: ${about.name} and the face detector, ${about.megabytes.toFixed(1)} MB, trained on ${about.trained_on}; NME ${about.nme}. Licence: ${about.licence}.`
  $('runs').textContent = about.runs
  for (const id of ['choose', 'camera', 'example']) $(id).disabled = false
  showPose(); drawEmpty()
  document.body.classList.add('ready')
  say('Ready for a picture.')
  keep().catch(() => {})                // a browser may refuse it; the page works without
}
start().catch(e => { document.body.classList.add('ready'); say(''); fail(e.message) })
