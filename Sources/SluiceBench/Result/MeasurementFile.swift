package import Foundation

/// A measurement as the JSON that `sluice bench --json` writes.
package enum MeasurementFile {
    /// What is wrong with a file that should be one.
    package struct Problem: Error, Equatable, CustomStringConvertible {
        package let description: String
    }

    /// A bench of a day with 50 repeats is some 20 MB.
    package static let largestSize = 64 << 20
    /// More runs than any bench makes.
    package static let mostRuns = 10_000

    package static func decode(_ data: Data) throws(Problem) -> Measurement {
        guard data.count <= largestSize else {
            throw Problem(description: "it is larger than \(Figures.bytes(largestSize)), which no measurement is")
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        let measurement: Measurement
        do {
            let format = try decoder.decode(Format.self, from: data).format
            guard format == Format.known else {
                throw Problem(
                    description: "it has format \(format), and this version of sluice reads format \(Format.known)")
            }
            measurement = try decoder.decode(Measurement.self, from: data)
        } catch let problem as Problem {
            throw problem
        } catch {
            throw Problem(description: "it is not what sluice bench --json writes: " + reason(error))
        }
        guard measurement.runs.count <= mostRuns else {
            throw Problem(description: "it has \(measurement.runs.count) runs; at most \(mostRuns) can be read")
        }
        return measurement
    }

    /// Where and what, without what the file says there.
    private static func reason(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "it cannot be read" }
        switch error {
        case .keyNotFound(let key, let context):
            return "\"\(key.stringValue)\" is missing" + place(context.codingPath)
        case .typeMismatch(_, let context), .valueNotFound(_, let context):
            return "a value is of another type" + place(context.codingPath)
        case .dataCorrupted(let context):
            return context.codingPath.isEmpty ? "it is no JSON" : "a value is wrong" + place(context.codingPath)
        @unknown default: return "it cannot be read"
        }
    }

    private static func place(_ path: [any CodingKey]) -> String {
        guard !path.isEmpty else { return "" }
        let names = path.map { key in key.intValue.map { "[\($0)]" } ?? "." + key.stringValue.prefix(40) }
        return " at " + names.joined().drop { $0 == "." }
    }

    private struct Format: Decodable {
        static let known = 1

        var format: Int
    }
}
