public import NIOCore

public enum FrameKind: UInt8, Hashable, Sendable, CaseIterable {
    case hello = 0x01
    case welcome = 0x02
    case ping = 0x03
    case pong = 0x04
    case goAway = 0x05
    case error = 0x06
    case cancel = 0x07
    case search = 0x10
    case result = 0x11
    case collections = 0x12
    case collectionList = 0x13
    case get = 0x14
    case count = 0x16
    case countResult = 0x17
    case next = 0x18
    case resultPart = 0x19
    case load = 0x20
    case loadReady = 0x21
    case loadRows = 0x22
    case loadCredit = 0x23
    case loadEnd = 0x24
    case loadProgress = 0x25
    case loadResult = 0x26
    case write = 0x28
    case writeResult = 0x29
}

/// One frame, its payload decompressed.
public struct Frame: Hashable, Sendable {
    public var kind: FrameKind
    public var requestID: UInt32
    public var payload: ByteBuffer

    public init(kind: FrameKind, requestID: UInt32, payload: ByteBuffer) {
        self.kind = kind
        self.requestID = requestID
        self.payload = payload
    }
}

/// The layout of a frame: length, kind, flags, reserved, request id, payload.
enum FrameLayout {
    /// The bytes before what `length` counts.
    static let lengthField = 4
    /// The bytes that `length` counts before the payload begins.
    static let headerAfterLength = 8
    static let compressed: UInt8 = 0x01
}

/// The eight bytes that a client sends before its first frame.
public enum Preface {
    /// "SLUICE", major version, minor version.
    public static let bytes: [UInt8] = Array("SLUICE".utf8) + [major, minor]
    public static let major: UInt8 = 1
    /// What this version adds to others of its major version; a receiver does not look at it.
    public static let minor: UInt8 = 2
    private static let magicLength = 6

    /// Takes the preface from the front of what has arrived.
    /// - Returns: false if more bytes are needed.
    /// - Throws: `protocolViolation` at the first byte that is not the preface's; `unsupportedVersion`.
    public static func check(_ buffer: inout ByteBuffer) throws(WireError) -> Bool {
        let arrived = buffer.readableBytesView.prefix(bytes.count)
        guard arrived.prefix(magicLength).elementsEqual(bytes.prefix(min(magicLength, arrived.count))) else {
            throw WireError(.protocolViolation, "this is not the Sluice protocol: the preface is wrong")
        }
        guard arrived.count == bytes.count else { return false }
        let version = arrived[arrived.startIndex + magicLength]
        guard version == major else {
            throw WireError(.unsupportedVersion, "protocol version \(version) is not spoken here, version \(major) is")
        }
        buffer.moveReaderIndex(forwardBy: bytes.count)
        return true
    }
}

/// Cuts frames from bytes as they arrive. The limits are checked as soon as the length is known, before memory is
/// taken for the rest.
public struct FrameDecoder: Sendable {
    private let maximumFrameLength: Int
    private let lz4: Bool
    private let maximumRatio: Int

    /// - Parameters:
    ///   - maximumFrameLength: the largest `length` accepted, and the largest decompressed payload, in bytes.
    ///   - lz4: whether compressed frames have been agreed.
    ///   - maximumRatio: how many times its own length a compressed block may declare; nil for what LZ4 can do, 255.
    public init(maximumFrameLength: Int, lz4: Bool, maximumRatio: Int? = nil) {
        self.maximumFrameLength = maximumFrameLength
        self.lz4 = lz4
        self.maximumRatio = maximumRatio ?? LZ4.largestRatio
    }

    /// - Returns: nil if more bytes are needed.
    public mutating func next(_ buffer: inout ByteBuffer) throws(WireError) -> Frame? {
        guard let declared = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else { return nil }
        let length = Int(declared)
        guard length >= FrameLayout.headerAfterLength else {
            throw WireError(.malformed, "a frame length of \(length) is below the 8 bytes of its header")
        }
        guard length <= maximumFrameLength else {
            throw WireError(.frameTooLarge, "a frame length of \(length) is above the limit of \(maximumFrameLength)")
        }
        guard buffer.readableBytes - FrameLayout.lengthField >= length else { return nil }
        buffer.moveReaderIndex(forwardBy: FrameLayout.lengthField)
        guard
            let header = buffer.readMultipleIntegers(as: (UInt8, UInt8, UInt16, UInt32).self),
            let payload = buffer.readSlice(length: length - FrameLayout.headerAfterLength)
        else { return nil }
        let (kindByte, flags, reserved, requestID) = header
        guard reserved == 0, flags & ~FrameLayout.compressed == 0 else {
            throw WireError(.protocolViolation, "unknown flags, or reserved bytes that are not zero")
        }
        guard let kind = FrameKind(rawValue: kindByte) else {
            throw WireError(.protocolViolation, "unknown frame kind \(kindByte)")
        }
        guard flags & FrameLayout.compressed != 0 else {
            return Frame(kind: kind, requestID: requestID, payload: payload)
        }
        guard lz4 else { throw WireError(.protocolViolation, "a compressed frame, but LZ4 was not agreed") }
        let whole = try LZ4.decompress(payload, maximumLength: maximumFrameLength, maximumRatio: maximumRatio)
        return Frame(kind: kind, requestID: requestID, payload: whole)
    }
}

/// Writes frames in place and fills in their length afterwards.
public struct FrameEncoder: Sendable {
    private let lz4: Bool
    private let compressionThreshold: Int

    /// - Parameter compressionThreshold: payloads of at least this many bytes are compressed, if LZ4 was agreed and it
    ///   makes them smaller.
    public init(lz4: Bool, compressionThreshold: Int = 4_096) {
        self.lz4 = lz4
        self.compressionThreshold = compressionThreshold
    }

    public func write(
        _ kind: FrameKind, requestID: UInt32, into buffer: inout ByteBuffer, payload: (inout ByteBuffer) -> Void
    ) {
        let start = buffer.writerIndex
        buffer.writeMultipleIntegers(UInt32(0), kind.rawValue, UInt8(0), UInt16(0), requestID)
        let payloadStart = buffer.writerIndex
        payload(&buffer)
        if lz4, buffer.writerIndex - payloadStart >= compressionThreshold { compress(&buffer, from: payloadStart) }
        let length = buffer.writerIndex - start - FrameLayout.lengthField
        buffer.setInteger(UInt32(clamping: length), at: start)
    }

    /// Only what is before the payload of a frame that is not compressed.
    public func writeHeader(
        _ kind: FrameKind, requestID: UInt32, payloadLength: Int, into buffer: inout ByteBuffer
    ) {
        let length = UInt32(clamping: FrameLayout.headerAfterLength + payloadLength)
        buffer.writeMultipleIntegers(length, kind.rawValue, UInt8(0), UInt16(0), requestID)
    }

    private func compress(_ buffer: inout ByteBuffer, from payloadStart: Int) {
        let length = buffer.writerIndex - payloadStart
        guard let plain = buffer.getSlice(at: payloadStart, length: length), let smaller = LZ4.compress(plain) else {
            return
        }
        buffer.moveWriterIndex(to: payloadStart)
        buffer.writeInteger(UInt32(clamping: length))
        buffer.writeImmutableBuffer(smaller)
        let flagsOffset = FrameLayout.lengthField + 1 - (FrameLayout.lengthField + FrameLayout.headerAfterLength)
        buffer.setInteger(FrameLayout.compressed, at: payloadStart + flagsOffset)
    }
}
