// Keeps what the page has loaded, so that it works without a network; what the network has comes first. The two headers let
// WebAssembly use threads where the server does not send them itself.
const headers = {'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp'}
const isolated = r => new Response(r.body, {status: r.status, statusText: r.statusText, headers: {...Object.fromEntries(r.headers), ...headers}})

async function answer(request) {
  const kept = await caches.open('flmk')
  try {
    const fresh = await fetch(request)
    if (fresh.ok) kept.put(request, fresh.clone())
    return isolated(fresh)
  } catch { return kept.match(request).then(r => r ? isolated(r) : Response.error()) }
}

addEventListener('install', () => skipWaiting())
addEventListener('activate', e => e.waitUntil(clients.claim()))
addEventListener('message', e => e.waitUntil(caches.open('flmk').then(kept => kept.addAll(e.data))))      // what was loaded before this worker came
addEventListener('fetch', e => {
  if (e.request.method === 'GET' && new URL(e.request.url).origin === location.origin) e.respondWith(answer(e.request))
})
