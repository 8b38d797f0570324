import SluiceCore
import SluiceEngine
import Testing

@Suite struct CursorShelfTests {
    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// Each list lives for a second.
    private func shelf(_ mostBytes: Int = 1 << 20, each: Int = 1_000) -> CursorShelf<[Int]> {
        CursorShelf(mostBytes: mostBytes, mostBytesPerCursor: each, timeToLive: .seconds(1))
    }

    private func code(_ body: () throws -> Void) -> SearchError.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? SearchError)?.code
        }
    }

    @Test func aListIsGivenPageByPage() throws {
        let shelf = shelf()
        let id = try #require(try shelf.hold(Array(0..<25), rest: 10..<25, bytes: 100, now: Self.at(0)))
        let first = try shelf.next(id, most: 10, now: Self.at(1))
        #expect(first.value.count == 25 && first.range == 10..<20 && first.hasMore)
        let last = try shelf.next(id, most: 10, now: Self.at(2))
        #expect(last.range == 20..<25 && !last.hasMore)
        #expect(code { _ = try shelf.next(id, most: 10, now: Self.at(3)) } == .unknownCursor)
        #expect(shelf.snapshot.open == 0 && shelf.snapshot.bytes == 0 && shelf.snapshot.opened == 1)
    }

    @Test func aPageThatEndsWithTheListIsTheLast() throws {
        let shelf = shelf()
        let id = try #require(try shelf.hold([1, 2], rest: 1..<2, bytes: 1, now: Self.at(0)))
        let page = try shelf.next(id, most: .max, now: Self.at(0))
        #expect(page.range == 1..<2 && !page.hasMore && shelf.snapshot.open == 0)
        let nothing = try shelf.hold([1, 2], rest: 2..<2, bytes: 1, now: Self.at(0))
        #expect(nothing == nil && shelf.snapshot.open == 0)
    }

    /// Several sessions use one cursor at the same time.
    @Test(arguments: 0..<20)
    func pagesHaveNeitherDuplicatesNorHoles(seed: UInt64) async throws {
        let shelf = shelf()
        let id = try #require(try shelf.hold(Array(0..<5_000), rest: 7..<5_000, bytes: 100, now: Self.at(0)))
        let pages = await withTaskGroup(of: [CursorShelf<[Int]>.Page].self) { group in
            for reader in 0..<8 {
                group.addTask {
                    var generator = SplitMix64(seed: seed << 8 | UInt64(reader))
                    var pages: [CursorShelf<[Int]>.Page] = []
                    while let page = try? shelf.next(
                        id, most: .random(in: 1...20, using: &generator), now: Self.at(0))
                    {
                        pages.append(page)
                        if pages.count % 16 == 0 { await Task.yield() }
                    }
                    return pages
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        let hits = pages.flatMap { $0.value[$0.range] }.sorted()
        #expect(hits == Array(7..<5_000))
        #expect(pages.filter { !$0.hasMore }.map(\.range.upperBound) == [5_000])
        #expect(shelf.snapshot.open == 0)
    }

    @Test func aCursorLivesForAWhileAfterItsLastUse() throws {
        let shelf = shelf()
        let id = try #require(try shelf.hold([1, 2, 3], rest: 0..<3, bytes: 1, now: Self.at(0)))
        _ = try shelf.next(id, most: 1, now: Self.at(999))
        _ = try shelf.next(id, most: 1, now: Self.at(1_998))
        #expect(code { _ = try shelf.next(id, most: 1, now: Self.at(2_998)) } == .unknownCursor)
        _ = try shelf.hold([1], rest: 0..<1, bytes: 1, now: Self.at(3_000))
        #expect(shelf.expire(now: Self.at(3_999)) == 0)
        #expect(shelf.expire(now: Self.at(4_000)) == 1)
        #expect(shelf.snapshot.bytes == 0 && shelf.snapshot.expired == 2)
    }

    @Test func aCursorIsClosedByAskingForNothingMore() throws {
        let shelf = shelf()
        let first = try #require(try shelf.hold([1, 2], rest: 0..<2, bytes: 1, now: Self.at(0)))
        let page = try shelf.next(first, most: 0, now: Self.at(0))
        #expect(page.range.isEmpty && !page.hasMore && shelf.snapshot.open == 0)
        let second = try #require(try shelf.hold([1, 2], rest: 0..<2, bytes: 1, now: Self.at(0)))
        try shelf.close(second, now: Self.at(0))
        for id in [first, second, CursorID(high: 0, low: 0)] {
            #expect(code { try shelf.close(id, now: Self.at(0)) } == .unknownCursor)
        }
    }

    @Test func theListUsedLongestAgoMakesRoom() throws {
        let one = 100 + CursorTable<Int>.overhead
        let shelf = shelf(2 * one)
        let ids = try (0..<2).map { _ in try shelf.hold([1, 2, 3], rest: 0..<3, bytes: 100, now: Self.at(0)) }
        let (first, second) = (try #require(ids[0]), try #require(ids[1]))
        _ = try shelf.next(first, most: 1, now: Self.at(1))
        let third = try #require(try shelf.hold([1], rest: 0..<1, bytes: 100, now: Self.at(2)))
        #expect(code { _ = try shelf.next(second, most: 1, now: Self.at(3)) } == .unknownCursor)
        for id in [first, third] { _ = try shelf.next(id, most: 1, now: Self.at(3)) }
        #expect(shelf.snapshot.evicted == 1 && shelf.snapshot.open == 1)
    }

    @Test func aListThatIsTooLargeIsRefusedWithTheLimit() throws {
        let overhead = CursorTable<Int>.overhead
        for (shelf, most) in [(shelf(each: 500), 500), (shelf(300 + overhead), 300), (shelf(1), 0)] {
            do throws(SearchError) {
                _ = try shelf.hold([1], rest: 0..<1, bytes: 501, now: Self.at(0))
                Issue.record("it must be refused")
            } catch {
                #expect(error.code == .invalidArgument)
                #expect(error.message.contains("501 bytes") && error.message.contains("at most \(most) for"))
                #expect(error.message.contains("smaller k"))
            }
            #expect(shelf.snapshot.open == 0)
        }
        let off = CursorShelf<[Int]>(mostBytes: 1_000, mostBytesPerCursor: 1_000, timeToLive: .zero)
        #expect(code { _ = try off.hold([1], rest: 0..<1, bytes: 1, now: Self.at(0)) } == .invalidArgument)
    }
}
