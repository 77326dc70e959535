from toxiproxy import Toxic, ToxicDirection, Toxiproxy

proxy = Toxiproxy.from_url("http://localhost:8474")
proxy.create(name="api_downstream", listen="localhost:8666", upstream="api.service:8080")

# Inject 2s latency
proxy.toxics.add(
    Toxic(name="latency", type="latency", stream=ToxicDirection.DOWNSTREAM, attributes={"latency": 2000})
)

# Test API call behavior here (with retry/backoff)
