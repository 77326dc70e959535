# What the toxiproxy gem sends, sent by Ruby's own Net::HTTP: the same methods,
# paths, headers and bodies in the same order, with the same five seconds of
# patience and the same reading of answers. TOXIPROXY_URL is the server, ECHO an
# address that echoes. Prints TAP.
# frozen_string_literal: true

require "json"
require "net/http"
require "socket"
require "uri"
require "rubygems" # for Gem::Version, which the gem compares versions with

class Client
  NotFound = Class.new(StandardError)
  ProxyExists = Class.new(StandardError)
  InvalidToxic = Class.new(StandardError)

  attr_reader :last

  def initialize(url)
    @uri = URI.parse(url)
  end

  def running?
    TCPSocket.new(@uri.host, @uri.port).close
    true
  rescue Errno::ECONNREFUSED, Errno::ECONNRESET
    false
  end

  # The gem looks whether somebody listens, then asks.
  def version
    return false unless running?

    ask(Net::HTTP::Get.new("/version")).body
  end

  def patch?
    text = version
    return false unless text.is_a?(String)

    Gem::Version.new(JSON.parse(text)["version"]) >= Gem::Version.new("2.6.0")
  end

  def reset = typed(Net::HTTP::Post.new("/reset"))
  def all = parse(ask(Net::HTTP::Get.new("/proxies")))
  def destroy(name) = ask(Net::HTTP::Delete.new("/proxies/#{name}"))
  def enable(name) = toggle(name, true)
  def disable(name) = toggle(name, false)
  def toxics(name) = parse(ask(Net::HTTP::Get.new("/proxies/#{name}/toxics")))
  def remove_toxic(name, toxic) = ask(Net::HTTP::Delete.new("/proxies/#{name}/toxics/#{toxic}"))

  # A proxy that was never enabled or disabled has nil there, and sends it.
  def create(name:, upstream:, listen: "localhost:0", enabled: nil)
    parse(typed(Net::HTTP::Post.new("/proxies"), { upstream: upstream, name: name, listen: listen, enabled: enabled }))
  end

  def populate(proxies)
    parse(typed(Net::HTTP::Post.new("/populate"), proxies)).fetch("proxies", [])
  end

  # Without a Content-Type, so that Net::HTTP says form data.
  def add_toxic(name, type:, stream: "downstream", toxic: nil, toxicity: 1.0, attributes: {})
    request = Net::HTTP::Post.new("/proxies/#{name}/toxics")
    request.body = { name: toxic || "#{type}_#{stream}", type: type, stream: stream, toxicity: toxicity, attributes: attributes }.to_json
    parse(ask(request))
  end

  private

  def toggle(name, on)
    kind = patch? ? Net::HTTP::Patch : Net::HTTP::Post
    @last = kind::METHOD
    typed(kind.new("/proxies/#{name}"), { enabled: on })
  end

  def typed(request, body = nil)
    request["Content-Type"] = "application/json"
    request.body = body.to_json if body
    ask(request)
  end

  def ask(request)
    http = Net::HTTP.new(@uri.host, @uri.port)
    http.open_timeout = http.read_timeout = http.write_timeout = 5
    response = http.request(request)
    case response
    when Net::HTTPConflict then raise ProxyExists, response.body
    when Net::HTTPNotFound then raise NotFound, response.body
    when Net::HTTPBadRequest then raise InvalidToxic, response.body
    else response.value # raises if it is no success
    end
    response
  end

  def parse(response) = JSON.parse(response.body)
end

CLIENT = Client.new(ENV.fetch("TOXIPROXY_URL"))
UPSTREAM = ENV.fetch("ECHO")
$count = 0
$failed = false

def test(what)
  CLIENT.all.each_key { |name| CLIENT.destroy(name) }
  yield
  puts "ok #{$count += 1} - #{what}"
rescue StandardError => e
  $failed = true
  puts "not ok #{$count += 1} - #{what}", "# #{e.class}: #{e.message}", *e.backtrace.map { |l| "#   #{l}" }
end

def equal(want, got)
  raise "#{got.inspect} for #{want.inspect}" unless want == got
end

def raises(kind)
  yield
rescue kind => e
  body = JSON.parse(e.message)
  raise "an error without words: #{e.message}" unless body["error"].is_a?(String) && body["status"].is_a?(Integer)
else
  raise "no #{kind}"
end

# Seconds that a message takes there and back; nil where nobody listens.
def through(listen)
  host, port = listen.split(":")
  begun = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  socket = TCPSocket.new(host, port.to_i)
  socket.write("omg\n")
  equal("omg\n", socket.gets)
  Process.clock_gettime(Process::CLOCK_MONOTONIC) - begun
rescue Errno::ECONNREFUSED
  nil
ensure
  socket&.close
end

def longer(least, got)
  raise "#{got.inspect}s for at least #{least}s" unless got && got >= least * 0.95
end

test("it runs, and says a version that asks for PATCH") do
  equal(true, CLIENT.running?)
  equal(["version"], JSON.parse(CLIENT.version).keys)
  equal(true, CLIENT.patch?)
end

test("create") do
  made = CLIENT.create(name: "a", upstream: UPSTREAM)
  equal("a", made["name"])
  equal(UPSTREAM, made["upstream"])
  equal(true, made["enabled"])
  equal(2, made["listen"].split(":").size)
  longer(0, through(made["listen"]))
  raises(Client::ProxyExists) { CLIENT.create(name: "a", upstream: UPSTREAM) }
  raises(Client::InvalidToxic) { CLIENT.create(name: nil, upstream: UPSTREAM) }
end

test("find") do
  CLIENT.create(name: "a", upstream: UPSTREAM)
  CLIENT.create(name: "b", upstream: "localhost:3306")
  equal(%w[a b], CLIENT.all.keys)
  equal("localhost:3306", CLIENT.all.fetch("b")["upstream"])
end

test("destroy") do
  listen = CLIENT.create(name: "a", upstream: UPSTREAM)["listen"]
  CLIENT.destroy("a")
  equal({}, CLIENT.all)
  equal(nil, through(listen))
  raises(Client::NotFound) { CLIENT.destroy("a") }
end

test("toggle") do
  listen = CLIENT.create(name: "a", upstream: UPSTREAM)["listen"]
  CLIENT.add_toxic("a", type: "latency", attributes: { latency: 123 })
  CLIENT.disable("a")
  equal("PATCH", CLIENT.last)
  equal(nil, through(listen))
  CLIENT.enable("a")
  longer(0.123, through(listen))
  equal(listen, CLIENT.all["a"]["listen"])
  equal(123, CLIENT.toxics("a").find { |t| t["name"] == "latency_downstream" }["attributes"]["latency"])
end

test("down for a while") do
  listen = CLIENT.create(name: "a", upstream: UPSTREAM)["listen"]
  CLIENT.disable("a")
  begin
    equal(nil, through(listen))
  ensure
    CLIENT.enable("a")
  end
  longer(0, through(listen))
end

test("all of them down") do
  listens = %w[a b].map { |name| CLIENT.create(name: name, upstream: UPSTREAM)["listen"] }
  %w[a b].each { |name| CLIENT.disable(name) }
  listens.each { |listen| equal(nil, through(listen)) }
  %w[a b].each { |name| CLIENT.enable(name) }
  listens.each { |listen| longer(0, through(listen)) }
end

test("delete a toxic") do
  listen = CLIENT.create(name: "a", upstream: UPSTREAM)["listen"]
  CLIENT.add_toxic("a", type: "latency", attributes: { latency: 123 })
  CLIENT.remove_toxic("a", "latency_downstream")
  equal([], CLIENT.toxics("a"))
  equal(listen, CLIENT.all["a"]["listen"])
  raises(Client::NotFound) { CLIENT.remove_toxic("a", "latency_downstream") }
end

test("reset") do
  listen = CLIENT.create(name: "a", upstream: UPSTREAM)["listen"]
  CLIENT.disable("a")
  CLIENT.add_toxic("a", type: "latency", attributes: { latency: 123 })
  CLIENT.reset
  longer(0, through(listen))
  equal([], CLIENT.toxics("a"))
  equal(listen, CLIENT.all["a"]["listen"])
end

%w[upstream downstream].each do |stream|
  test("latency, #{stream}") do
    listen = CLIENT.create(name: "a", upstream: UPSTREAM)["listen"]
    got = CLIENT.add_toxic("a", type: :latency, stream: stream, attributes: { latency: 150 })
    equal({ "latency" => 150, "jitter" => 0 }, got["attributes"])
    equal(1, got["toxicity"])
    longer(0.150, through(listen))
    CLIENT.remove_toxic("a", "latency_#{stream}")
  end
end

test("latency both ways, and two of a kind") do
  listen = CLIENT.create(name: "a", upstream: UPSTREAM)["listen"]
  CLIENT.add_toxic("a", type: "latency", stream: "upstream", attributes: { latency: 100 })
  CLIENT.add_toxic("a", type: "latency", attributes: { latency: 100 })
  CLIENT.add_toxic("a", type: "latency", toxic: "second", attributes: { latency: 100 })
  longer(0.300, through(listen))
  equal(%w[latency_upstream latency_downstream second], CLIENT.toxics("a").map { |t| t["name"] })
end

test("toxicity and all types") do
  CLIENT.create(name: "a", upstream: UPSTREAM)
  { "latency" => { latency: 1, jitter: 1 }, "bandwidth" => { rate: 1 }, "slow_close" => { delay: 1 }, "timeout" => { timeout: 1 }, "reset_peer" => { timeout: 1 },
    "slicer" => { average_size: 10, size_variation: 5, delay: 1 }, "limit_data" => { bytes: 1 } }.each do |type, attributes|
    got = CLIENT.add_toxic("a", type: type, toxicity: 0.5, attributes: attributes)
    equal(0.5, got["toxicity"])
    equal(attributes.transform_keys(&:to_s), got["attributes"])
  end
  equal(7, CLIENT.toxics("a").size)
end

test("what is no toxic") do
  CLIENT.create(name: "a", upstream: UPSTREAM)
  raises(Client::InvalidToxic) { CLIENT.add_toxic("a", type: "nonsense") }
  raises(Client::InvalidToxic) { CLIENT.add_toxic("a", type: "latency", stream: "sideways") }
  raises(Client::InvalidToxic) { CLIENT.add_toxic("a", type: "latency", attributes: { latency: "long" }) }
  raises(Client::NotFound) { CLIENT.add_toxic("none", type: "latency") }
end

test("populate") do
  made = CLIENT.populate([{ name: "a", upstream: UPSTREAM, listen: "localhost:0" }, { name: "b", upstream: "localhost:3306", listen: "localhost:0" }])
  equal(%w[a b], made.map { |p| p["name"] })
  longer(0, through(made[0]["listen"]))
  again = CLIENT.populate([{ name: "a", upstream: UPSTREAM, listen: made[0]["listen"] }])
  equal(made[0], again[0])
  other = CLIENT.populate([{ name: "a", upstream: "localhost:3307", listen: made[0]["listen"] }])
  equal("localhost:3307", other[0]["upstream"])
  equal([], Array(CLIENT.populate([])))
end

test("a server that is not there") do
  equal(false, Client.new("http://127.0.0.1:1").running?)
  equal(false, Client.new("http://127.0.0.1:1").version)
end

puts "1..#{$count}"
exit(!$failed)
