import Foundation

/// What is wrong with an input file, and where.
public struct FileProblem: Error, Hashable, CustomStringConvertible, Sendable {
    public let path: String
    /// From 1; nil if it is about the file as a whole, or the file has no lines.
    public let line: Int?
    public let message: String

    public init(_ path: String, line: Int? = nil, _ message: String) {
        self.path = path
        self.line = line
        self.message = message
    }

    public var description: String { "\(path)\(line.map { ":\($0)" } ?? ""): \(message)" }
}

/// Out of the class, which has a `read` of its own.
private func readBytes(_ descriptor: Int32, into target: UnsafeMutableRawBufferPointer) -> Int {
    read(descriptor, target.baseAddress, target.count)
}

/// A file's bytes from its beginning on, a chunk at a time.
final class ByteSource {
    private static let chunkSize = 1_048_576

    let path: String
    /// In bytes.
    let size: Int
    private let handle: FileHandle
    /// Kept, and filled again and again: files are large.
    private(set) var chunk: [UInt8] = []
    /// Where in the chunk what is not taken yet begins, and where it ends.
    private(set) var place = 0
    private(set) var end = 0

    init(path: String) throws {
        guard let handle = FileHandle(forReadingAtPath: path),
            let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? NSNumber
        else { throw FileProblem(path, "the file cannot be read") }
        self.path = path
        self.handle = handle
        self.size = size.intValue
    }

    deinit { try? handle.close() }

    /// Makes sure that something is left in the chunk.
    /// - Returns: false at the end of the file.
    func fill() throws -> Bool {
        guard place == end else { return true }
        if chunk.isEmpty {
            // What is no plain file has no size.
            let room = size == 0 ? Self.chunkSize : min(size, Self.chunkSize)
            chunk = [UInt8](repeating: 0, count: room)
        }
        var count = 0
        repeat {
            count = chunk.withUnsafeMutableBytes { readBytes(handle.fileDescriptor, into: $0) }
        } while count < 0 && errno == EINTR
        guard count >= 0 else { throw FileProblem(path, "the file cannot be read (error \(errno))") }
        (place, end) = (0, count)
        return count > 0
    }

    func advance(by count: Int) { place += count }

    /// - Returns: how many bytes there were: fewer than asked for at the end of the file.
    func read(into target: UnsafeMutableRawBufferPointer) throws -> Int {
        var done = 0
        while done < target.count, try fill() {
            let count = min(end - place, target.count - done)
            chunk.withUnsafeBytes { source in
                UnsafeMutableRawBufferPointer(rebasing: target[done..<(done + count)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[place..<(place + count)]))
            }
            done += count
            place += count
        }
        return done
    }
}
