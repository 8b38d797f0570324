import ArgumentParser
import Foundation
import SluiceAdmin
import SluiceGateway

struct Top: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what a gateway is and does, live.",
        discussion: """
            Keys: j and k (or the arrows) mark a replica, Enter shows it, Esc goes back; s sorts by another column, r \
            the other way round; q ends.
            """)

    @Option(help: "The gateway's admin address.")
    var admin = "127.0.0.1:7412"

    @Option(help: "Seconds between two looks.")
    var interval = 1.0

    @Flag(help: "Print one screen and end.")
    var once = false

    func validate() throws {
        guard client != nil else { throw ValidationError("`--admin` must be HOST:PORT or [IPv6]:PORT") }
        guard (0.1...3_600).contains(interval) else { throw ValidationError("`--interval` must be from 0.1 to 3600") }
    }

    private var client: AdminClient? {
        GatewayConfig.HostPort(admin).map { AdminClient(host: $0.host, port: $0.port) }
    }

    func run() async throws {
        guard let client else { return }
        var screen = TopScreen()
        guard !once, isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1 else {
            let pauses = once ? 1 : Int.max
            for look in 0...pauses {
                // Rates are of two looks.
                if look > 0 { try await Task.sleep(for: .seconds(interval)) }
                screen.take(try await frame(client))
                screen.height = screen.rows.count + 5
                if look > 0 || !once { print(screen.lines.dropLast().joined(separator: "\n")) }
            }
            return
        }
        guard let terminal = Terminal() else { throw Exit.software }
        defer { terminal.restore() }
        while true {
            screen.take(try await frame(client))
            var left = interval
            repeat {
                (screen.width, screen.height) = terminal.size
                terminal.show(screen.lines)
                let began = ContinuousClock.now
                switch terminal.key(within: left) {
                case .quit: return
                case .press(let key): screen.press(key)
                case .none: break
                }
                left -= began.duration(to: .now) / .seconds(1)
            } while left > 0
        }
    }

    private func frame(_ client: AdminClient) async throws -> LiveFrame {
        do {
            let answer = try await client.get("/api/v1/frame")
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(LiveFrame.self, from: Data(answer.body.utf8))
        } catch let failure as AdminClient.Failure {
            Output.complain("sluice: \(failure)")
            throw Exit.unreachable
        } catch {
            Output.complain("sluice: \(admin) is not the admin address of a gateway of this version")
            throw Exit.unreachable
        }
    }
}

/// The terminal, as a screen to draw on and keys to read.
private struct Terminal {
    enum Input {
        case press(TopScreen.Key)
        case quit
        case none
    }

    private let before: termios

    init?() {
        var settings = termios()
        guard tcgetattr(STDIN_FILENO, &settings) == 0 else { return nil }
        before = settings
        settings.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG)
        guard tcsetattr(STDIN_FILENO, TCSANOW, &settings) == 0 else { return nil }
        // The other screen, without a cursor (xterm's control sequences).
        write("\u{1B}[?1049h\u{1B}[?25l")
    }

    func restore() {
        write("\u{1B}[?25h\u{1B}[?1049l")
        var settings = before
        _ = tcsetattr(STDIN_FILENO, TCSANOW, &settings)
    }

    var size: (width: Int, height: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    func show(_ lines: [String]) {
        write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// - Parameter seconds: how long to wait for one.
    func key(within seconds: Double) -> Input {
        var polled = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        guard poll(&polled, 1, Int32(max(0, seconds) * 1_000)) > 0 else { return .none }
        var bytes = [UInt8](repeating: 0, count: 8)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        // Its terminal is gone.
        guard count > 0 else { return .quit }
        switch Array(bytes.prefix(count)) {
        // Ctrl-C is a key here, so that the terminal is always given back.
        case [UInt8(ascii: "q")], [3]: return .quit
        case [UInt8(ascii: "j")], Array("\u{1B}[B".utf8): return .press(.down)
        case [UInt8(ascii: "k")], Array("\u{1B}[A".utf8): return .press(.up)
        case [UInt8(ascii: "\n")], [UInt8(ascii: "\r")]: return .press(.enter)
        case [0x1B], [0x7F]: return .press(.back)
        case [UInt8(ascii: "s")]: return .press(.sort)
        case [UInt8(ascii: "r")]: return .press(.reverse)
        default: return .none
        }
    }

    private func write(_ text: String) {
        FileHandle.standardOutput.write(Data(text.utf8))
    }
}
