// A service that asks its backend with axios and axios-retry or opossum, as its
// argument says. It prints its port, reads its backend's URL from the first line that
// it is given, and then answers each GET with what became of one call. The folder of
// the packages is its second argument.
const http = require('node:http')
const { createRequire } = require('node:module')
const readline = require('node:readline')

const [how, folder] = process.argv.slice(2)
const from = createRequire(folder + '/package.json')
const axios = from('axios')
const agent = new http.Agent({ keepAlive: true })
const client = axios.create({ httpAgent: agent, timeout: how === 'timeout' ? 300 : 0, proxy: false })

let backend
const known = new Promise(resolve => {
  const lines = readline.createInterface({ input: process.stdin })
  lines.once('line', line => { backend = line.trim(); resolve() })
  lines.once('close', () => process.exit(0))
})

let call = (path, headers) => client.get(backend + path, { headers })
if (how === 'retry') {
  const axiosRetry = from('axios-retry')
  const retry = axiosRetry.default || axiosRetry
  retry(client, { retries: 3, retryDelay: axiosRetry.exponentialDelay || retry.exponentialDelay })
}
if (how === 'opossum') {
  const Breaker = from('opossum')
  const breaker = new Breaker(call, { timeout: 2000, errorThresholdPercentage: 50, resetTimeout: 500 })
  call = (path, headers) => breaker.fire(path, headers)
}

const server = http.createServer(async (req, res) => {
  await known
  const headers = req.headers.traceparent ? { traceparent: req.headers.traceparent } : {}
  try {
    res.statusCode = (await call(req.url, headers)).status
  } catch (err) {
    res.statusCode = 502
  }
  res.end()
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
