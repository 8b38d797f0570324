import NIOCore
import SluiceClient
import SluiceWire
import Testing

@Suite struct FilterBuilderTests {
    private func compare(_ column: String, _ comparison: FilterComparison, _ value: FilterValue) -> FilterExpression {
        .compare(column: column, comparison, value)
    }

    @Test func itReadsLikeTheCondition() {
        let filter: Filter? =
            .column("section") == "net" && .column("installed_kib") < 5000 && !.column("name").hasPrefix("lib")
        #expect(
            filter?.expression
                == .and([
                    compare("section", .equal, .text("net")), compare("installed_kib", .less, .int(5_000)),
                    .not(.hasPrefix(column: "name", "lib")),
                ]))
    }

    @Test func everyConditionHasItsForm() throws {
        let name = "net"
        let limit = 7
        let column = Filter.column("c")
        let filters: [(Filter, FilterExpression)] = [
            (column == true, compare("c", .equal, .bool(true))),
            (column != 2.5, compare("c", .notEqual, .double(2.5))),
            (column < -1, compare("c", .less, .int(-1))),
            (column <= .int(limit), compare("c", .lessOrEqual, .int(7))),
            (column > "lib\(name)", compare("c", .greater, .text("libnet"))),
            (column >= .text(name), compare("c", .greaterOrEqual, .text("net"))),
            (column == ["a", "b"], compare("c", .equal, .textArray(["a", "b"]))),
            (column.in([1, 2.5]), .oneOf(column: "c", [.int(1), .double(2.5)])),
            (column.in([]), .oneOf(column: "c", [])),
            (column.between(1, 2), .between(column: "c", low: .int(1), high: .int(2))),
            (column.isNull, .isNull(column: "c")), (column.isNotNull, .not(.isNull(column: "c"))),
            (column.hasPrefix("lib"), .hasPrefix(column: "c", "lib")),
            (column.overlaps(["a"]), .overlaps(column: "c", ["a"])),
            (try column < .timestamp("2000-01-02"), compare("c", .less, .timestamp(86_400_000_000))),
            (column < .timestamp(microsecondsSince2000: 5), compare("c", .less, .timestamp(5))),
            (
                try column == .uuid("00000000-0000-0001-8000-00000000000F"),
                compare("c", .equal, .uuid(high: 1, low: 0x8000_0000_0000_000F))
            ),
        ]
        for (filter, expression) in filters { #expect(filter.expression == expression) }
    }

    @Test func chainsAreOneLevelDeep() {
        let a = Filter.column("a").isNull
        let b = Filter.column("b").isNull
        let c = Filter.column("c").isNull
        #expect((a && b && c) == .and([a, b, c]))
        #expect((a || (b || c)) == .or([a, b, c]))
        #expect((a && (b || c)).description == "a is null and (b is null or c is null)")
        #expect(Filter.and([a]) == a)
        let long = (0..<1_000).reduce(a) { filter, _ in filter && b }
        #expect(throws: Never.self) {
            var buffer = ByteBuffer()
            try long.expression.encode(into: &buffer)
        }
    }

    @Test func whatIsNoTimeOrUUID() {
        for text in ["", "yesterday", "2024-13-01"] {
            #expect { try Filter.Value.timestamp(text) } throws: { error in
                (error as? FilterSyntaxError)?.expected == "a time such as 2024-01-31T12:30:00Z"
            }
        }
        #expect(throws: FilterSyntaxError.self) { try Filter.Value.uuid("0b4f6c1e") }
    }
}

@Suite struct FilterTimeTests {
    /// The same table is in SluiceCoreTests: client and gateway read times alike.
    static let known: [(String, Int64)] = [
        ("2000-01-01", 0), ("2000-01-01T00:00:00Z", 0), ("2000-01-01 00:00", 0), ("2000-03-01", 5_184_000_000_000),
        ("1999-12-31T23:59:59.999999Z", -1), ("1970-01-01T00:00:00Z", -946_684_800_000_000),
        ("2024-02-29t12:30:05.25z", 762_525_005_250_000), ("2024-01-31T12:30:00+01:30", 760_014_000_000_000),
        ("2024-01-31T09:30:00-0130", 760_014_000_000_000), ("2024-01-31T10:00:00-01", 760_014_000_000_000),
        ("0001-01-01", -63_082_281_600_000_000), ("9999-12-31T23:59:59.999999Z", 252_455_615_999_999_999),
        ("1900-03-01", -3_150_576_000_000_000),
    ]

    @Test(arguments: known)
    func times(text: String, microseconds: Int64) throws {
        #expect(try Filter.Value.timestamp(text) == .timestamp(microsecondsSince2000: microseconds))
    }

    @Test func timesAreWrittenAsTheyAreRead() throws {
        var random = SplitMix64(seed: 6)
        for _ in 0..<20_000 {
            let microseconds = Int64.random(in: -63_082_281_600_000_000...252_455_615_999_999_999, using: &random)
            let filter = Filter.column("c") == .timestamp(microsecondsSince2000: microseconds)
            #expect(filter.description.hasSuffix("Z'"))
            #expect(try Filter(parsing: filter.description) == filter)
        }
    }

    @Test(arguments: [
        "", "2024", "2024-1-31", "2024-00-01", "2024-13-01", "2024-02-30", "2023-02-29", "1900-02-29", "2024-04-31",
        "0000-01-01", "2024-01-31T", "2024-01-31T12", "2024-01-31T24:00:00Z", "2024-01-31T12:60:00Z",
        "2024-01-31T12:30:60Z", "2024-01-31T12:30:00.Z", "2024-01-31T12:30:00.1234567Z", "2024-01-31T12:30:00ZZ",
        "2024-01-31T12:30:00+", "2024-01-31T12:30:00+16:00", "2024-01-31T12:30:00+01:60", "2024-01-31T12:30:00+01:",
        "2024-01-31X12:30:00Z", "2024-01-31Z", "+2024-01-31", "2024-01-31T12:30:00 Z", "２０２４-01-31",
    ])
    func notATime(text: String) {
        #expect(throws: FilterSyntaxError.self) { try Filter.Value.timestamp(text) }
    }
}
