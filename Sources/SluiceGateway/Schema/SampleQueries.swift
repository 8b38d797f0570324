internal import SluiceCore
internal import SluiceEngine

/// What is asked of the rows of a table whose catalogue does not say enough.
struct SampleQueries {
    private let table: String
    private let collection: GatewayConfig.Collection
    private let vectorSchema: String

    init(_ collection: GatewayConfig.Collection, vectorSchema: String) {
        self.collection = collection
        self.vectorSchema = vectorSchema
        table = "\(SearchShape.quoted(collection.schema)).\(SearchShape.quoted(collection.table))"
    }

    /// Of the first row that has a vector.
    var dimensions: String { "SELECT \(count) FROM \(table) WHERE \(vector) IS NOT NULL LIMIT 1" }

    /// A row that has another number of them than the collection.
    var otherDimensions: String {
        "SELECT 1 FROM \(table) WHERE \(count) OPERATOR(pg_catalog.<>) \(collection.dimensions) LIMIT 1"
    }

    /// An id that several rows have.
    var duplicates: String {
        let id = SearchShape.quoted(collection.idColumn)
        return "SELECT 1 FROM \(table) WHERE \(id) IS NOT NULL GROUP BY \(id) "
            + "HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1 LIMIT 1"
    }

    private var vector: String { SearchShape.quoted(collection.vectorColumn) }

    private var count: String {
        switch collection.form {
        case .vector, .halfvec: "\(SearchShape.quoted(vectorSchema)).vector_dims(\(vector))"
        // Its text ends with them.
        case .sparsevec: "pg_catalog.split_part(\(vector)::pg_catalog.text, '/', 2)::pg_catalog.int4"
        case .bit: "pg_catalog.length(\(vector))"
        }
    }

    /// Some from each end of the primary key.
    var ids: String {
        let id = SearchShape.quoted(collection.idColumn)
        return """
            (SELECT \(id) FROM \(table) ORDER BY \(id) LIMIT 500)
            UNION
            (SELECT \(id) FROM \(table) ORDER BY \(id) DESC LIMIT 500)
            """
    }
}
