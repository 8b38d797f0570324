import SluiceClient

let client = try await SluiceClient.connect("sluice://127.0.0.1:7411")

for collection in try await client.collections() {
    print("\(collection.name): \(collection.dimensions) dimensions, \(collection.metric)")
}

let query = SearchQuery(
    collections: ["programs", "libraries"], vector: Array(repeating: 0.051, count: 384), k: 5, columns: ["name"],
    deadline: .milliseconds(500), efSearch: 100)
do {
    let reply = try await client.search(query)
    for hit in reply.hits {
        print(hit.distance, hit.collection, hit.id, hit.columns["name"] ?? .null, "from \(hit.shard)/\(hit.replica)")
    }
} catch {
    print("\(error.code): \(error.message)", error.isRetryable ? "(try again later)" : "")
}
await client.close()
