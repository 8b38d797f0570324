import Foundation
import Glibc
import SluiceClient
import Synchronization
import Testing

extension PostgreSQL {
    /// A new version takes over from the old one, and whoever manages the processes is told what they do.
    @Suite(.serialized) struct HandOver {
        private static let vector: [Float] = [1] + Array(repeating: 0, count: 383)
        private static let query = SearchQuery(collections: ["programs"], vector: vector, k: 3)

        /// What clients have met.
        private final class Tally: Sendable {
            private struct State {
                var answers = 0
                var failures: [String] = []
                var isOver = false
                var waiter: (answers: Int, CheckedContinuation<Void, Never>)?

                mutating func takeWaiter() -> CheckedContinuation<Void, Never>? {
                    guard let waiter, answers >= waiter.answers || !failures.isEmpty else { return nil }
                    self.waiter = nil
                    return waiter.1
                }
            }

            private let state = Mutex(State())
            var failures: [String] { state.withLock { $0.failures } }
            var isOver: Bool { state.withLock { $0.isOver } }

            func end() { state.withLock { $0.isOver = true } }

            func count(_ work: () async throws -> Void) async {
                var failure: String?
                do { try await work() } catch { failure = "\(error)" }
                state.withLock { state in
                    if let failure { state.failures.append(failure) } else { state.answers += 1 }
                    return state.takeWaiter()
                }?.resume()
            }

            /// Until so many more have been answered, or one has failed.
            func wait(forMore answers: Int) async {
                await withCheckedContinuation { continuation in
                    state.withLock { state in
                        state.waiter = (state.answers + answers, continuation)
                        return state.takeWaiter()
                    }?.resume()
                }
            }
        }

        private func listeningSocket() throws -> (descriptor: Int32, port: Int) {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let isListening = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, size) == 0 && listen(descriptor, 1_024) == 0
                        && getsockname(descriptor, $0, &size) == 0
                }
            }
            try #require(isListening)
            return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
        }

        /// - Parameter isOverlapping: the new version serves before the old one is told to stop; otherwise clients wait
        ///   at the socket that is there all the time.
        @Test(.timeLimit(.minutes(2)), arguments: [true, false])
        func noRequestFailsWhileANewVersionTakesOver(isOverlapping: Bool) async throws {
            let replicas = try Replicas()
            let (socket, port) = try listeningSocket()
            defer { close(socket) }
            let address = "sluice://127.0.0.1:\(port)"
            var gateway = try await RealGateway(replicas.text(), socket: socket)
            #expect(gateway.port == port)
            let tally = Tally()
            defer { tally.end() }
            let steady = try await SluiceClient.connect(address)
            let load = (0..<12).map { number in
                Task {
                    while !tally.isOver {
                        await tally.count {
                            if number.isMultiple(of: 3) {
                                // One that comes anew each time.
                                let client = try await SluiceClient.connect(address)
                                _ = try await client.search(Self.query)
                                await client.close()
                            } else {
                                _ = try await steady.search(Self.query)
                            }
                        }
                    }
                }
            }
            for _ in 0..<5 {
                await tally.wait(forMore: 200)
                if isOverlapping {
                    let next = try await RealGateway(replicas.text(), socket: socket)
                    #expect(await gateway.stop() == 0, "\(gateway.log)")
                    gateway = next
                } else {
                    #expect(await gateway.stop() == 0, "\(gateway.log)")
                    gateway = try await RealGateway(replicas.text(), socket: socket)
                }
            }
            await tally.wait(forMore: 200)
            tally.end()
            for worker in load { await worker.value }
            await steady.close()
            #expect(tally.failures == [])
            #expect(await gateway.stop() == 0)
        }

        @Test func theManagerIsToldWhatItDoes() async throws {
            let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString.prefix(8))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
            defer { try? FileManager.default.removeItem(at: folder) }
            let path = folder.appending(path: "notify").path
            let manager = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(manager) }
            var name = sockaddr_un()
            name.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
            let isBound = withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(manager, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
                }
            }
            try #require(isBound)
            var patience = timeval(tv_sec: 10, tv_usec: 0)
            setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
            func next() -> [Substring] {
                var bytes = [UInt8](repeating: 0, count: 512)
                let count = recv(manager, &bytes, bytes.count, 0)
                return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: "\n")
            }
            let gateway = try await RealGateway(
                try Replicas().text(), environment: ["NOTIFY_SOCKET": path])
            #expect(next().first == "READY=1")
            kill(gateway.pid, SIGHUP)
            let reloading = next()
            #expect(reloading.first == "RELOADING=1")
            #expect(reloading.last?.wholeMatch(of: /MONOTONIC_USEC=\d+/) != nil)
            #expect(next().first == "READY=1")
            gateway.terminate()
            #expect(next().first == "STOPPING=1")
            #expect(await gateway.stop() == 0)
        }

        /// It would be plain where clients expect TLS.
        @Test func aSocketThatCannotServeIsRefused() throws {
            let replicas = try Replicas()
            let (socket, _) = try listeningSocket()
            defer { close(socket) }
            let file = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString).yaml")
            defer { try? FileManager.default.removeItem(at: file) }
            try Data(("admin: {enabled: false}\n" + replicas.text()).utf8).write(to: file)
            let process = Process()
            let errors = Pipe()
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = [
                "python3", "-c", RealGateway.handing.replacing("\"tcp\"", with: "\"tls\""), Binary.url.path, "serve",
                "--config", file.path,
            ]
            process.standardInput = FileHandle(fileDescriptor: socket)
            process.standardError = errors
            try process.run()
            let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 78)
            #expect(said.contains("LISTEN_FDS announces cannot be used: one is for TLS"), "\(said)")
        }
    }
}
