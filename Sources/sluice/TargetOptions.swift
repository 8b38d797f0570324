import ArgumentParser
import Foundation
import SluiceClient
import SluiceTools

/// What the neighbours are to be neighbours of.
struct TargetOptions: ParsableArguments {
    enum VectorType: String, ExpressibleByArgument, CaseIterable {
        case vector
        case halfvec
        case sparsevec
        case bit
    }

    @Option(help: "A .npy file of vectors, one a row.")
    var vectorFile: String?

    @Option(help: "The row of the vector file, from 0.")
    var row = 0

    @Option(help: "The vector itself: [0.1,0.2], for a sparsevec {1:0.5,7:-2}/384, for a bit 0110.")
    var vector: String?

    @Option(help: "The type of the collections' vectors: vector, halfvec, sparsevec or bit.")
    var vectorType = VectorType.vector

    @Option(parsing: .unconditional, help: "The id of a row of the first collection, to find rows like it.")
    var id: Int64?

    func validate() throws {
        let given = [vector != nil, vectorFile != nil, id != nil].count { $0 }
        guard given == 1 else {
            throw ValidationError("give the vector by --vector, --vector-file or --id, one of the three")
        }
        guard row >= 0 else { throw ValidationError("--row counts from 0, not from \(row)") }
        if let vector {
            do { _ = try parse(vector) } catch { throw ValidationError("--vector: \(error.description)") }
        }
    }

    func target(in collections: [String]) throws -> SearchQuery.Target {
        if let id { return .row(id: id, collection: collections.first ?? "") }
        if let vector { return .vector(try parse(vector)) }
        return .vector(typed(try fileRow()))
    }

    private func parse(_ text: String) throws(VectorText.Problem) -> SearchQuery.Vector {
        switch vectorType {
        case .vector: return .float(try VectorText.parse(text))
        case .halfvec: return .half(try VectorText.parse(text))
        case .bit: return .bits(try VectorText.parseBits(text))
        case .sparsevec:
            let sparse = try VectorText.parseSparse(text)
            return .sparse(dimensions: sparse.dimensions, indices: sparse.indices, values: sparse.values)
        }
    }

    private func fileRow() throws -> [Float] {
        do {
            let file = try NumpyFile(path: vectorFile ?? "")
            guard let vector = file.row(row) else {
                throw NumpyFile.Problem("\(vectorFile ?? ""): there is no row \(row); it has \(file.rowCount)")
            }
            return vector
        } catch {
            Output.complain("sluice: \(error)")
            throw Exit.data
        }
    }

    /// A file has numbers only: a bit is set where the number is above 0, as pgvector's `binary_quantize` has it.
    private func typed(_ floats: [Float]) -> SearchQuery.Vector {
        switch vectorType {
        case .vector: .float(floats)
        case .halfvec: .half(floats)
        case .bit: .bits(floats.map { $0 > 0 })
        case .sparsevec:
            .sparse(
                dimensions: floats.count,
                Dictionary(uniqueKeysWithValues: floats.enumerated().map { ($0.offset, $0.element) }))
        }
    }
}
