import SluiceCore
import SluiceEngine
import Testing

@Suite struct FilterPlanTests {
    private static let columns: [String: FilterColumnType] = [
        "flag": .bool, "size": .int, "score": .float, "name": .text, "made": .timestamp, "key": .uuid,
        "tags": .textArray, "odd \"name\"": .text,
    ]

    private func plan(_ filter: Filter) throws(SearchError) -> FilterPlan {
        try FilterPlan(filter, columns: Self.columns, collection: "programs")
    }

    private func error(_ filter: Filter) -> SearchError? {
        do {
            _ = try plan(filter)
            return nil
        } catch { return error }
    }

    private func compare(_ column: String, _ value: Filter.Value) -> Filter { .compare(column: column, .equal, value) }

    // MARK: SQL

    private static let shapes: [(Filter, String, [UInt32])] = [
        (.compare(column: "flag", .equal, .bool(true)), #"(t."flag" OPERATOR(pg_catalog.=) $3)"#, [16]),
        (.compare(column: "size", .notEqual, .int(1)), #"(t."size" OPERATOR(pg_catalog.<>) $3)"#, [20]),
        (.compare(column: "size", .less, .double(1.5)), #"(t."size" OPERATOR(pg_catalog.<) $3)"#, [701]),
        (.compare(column: "score", .lessOrEqual, .int(1)), #"(t."score" OPERATOR(pg_catalog.<=) $3)"#, [701]),
        (.compare(column: "name", .greater, .text("x")), #"(t."name" OPERATOR(pg_catalog.>) $3)"#, [25]),
        (.compare(column: "made", .greaterOrEqual, .timestamp(1)), #"(t."made" OPERATOR(pg_catalog.>=) $3)"#, [1_184]),
        (.compare(column: "made", .equal, .text("2024-01-31")), #"(t."made" OPERATOR(pg_catalog.=) $3)"#, [1_184]),
        (.compare(column: "key", .equal, .uuid(high: 1, low: 2)), #"(t."key" OPERATOR(pg_catalog.=) $3)"#, [2_950]),
        (.compare(column: "tags", .equal, .textArray([])), #"(t."tags" OPERATOR(pg_catalog.=) $3)"#, [1_009]),
        (.oneOf(column: "size", []), #"(t."size" OPERATOR(pg_catalog.=) ANY ($3))"#, [1_016]),
        (.oneOf(column: "size", [.int(1), .double(2.5)]), #"(t."size" OPERATOR(pg_catalog.=) ANY ($3))"#, [1_022]),
        (.oneOf(column: "flag", [.bool(true)]), #"(t."flag" OPERATOR(pg_catalog.=) ANY ($3))"#, [1_000]),
        (.oneOf(column: "name", [.text("a")]), #"(t."name" OPERATOR(pg_catalog.=) ANY ($3))"#, [1_009]),
        (
            .oneOf(column: "made", [.timestamp(1), .text("2024-01-31")]),
            #"(t."made" OPERATOR(pg_catalog.=) ANY ($3))"#, [1_185]
        ),
        (.oneOf(column: "key", []), #"(t."key" OPERATOR(pg_catalog.=) ANY ($3))"#, [2_951]),
        (
            .between(column: "size", low: .int(1), high: .double(2.5)),
            #"((t."size" OPERATOR(pg_catalog.>=) $3) AND (t."size" OPERATOR(pg_catalog.<=) $4))"#, [20, 701]
        ),
        (.isNull(column: "odd \"name\""), #"(t."odd ""name""" IS NULL)"#, []),
        (.hasPrefix(column: "name", "lib"), #"pg_catalog.starts_with(t."name"::pg_catalog.text, $3)"#, [25]),
        (.overlaps(column: "tags", ["a"]), #"(t."tags"::pg_catalog.text[] OPERATOR(pg_catalog.&&) $3)"#, [1_009]),
        (.not(.isNull(column: "name")), #"(NOT (t."name" IS NULL))"#, []),
        (
            .or([
                .and([.compare(column: "name", .equal, .text("net")), .compare(column: "size", .less, .int(5_000))]),
                .not(.oneOf(column: "flag", [])), .isNull(column: "key"),
                .between(column: "score", low: .int(1), high: .int(2)),
            ]),
            #"(((t."name" OPERATOR(pg_catalog.=) $3) AND (t."size" OPERATOR(pg_catalog.<) $4))"#
                + #" OR (NOT (t."flag" OPERATOR(pg_catalog.=) ANY ($5))) OR (t."key" IS NULL)"#
                + #" OR ((t."score" OPERATOR(pg_catalog.>=) $6) AND (t."score" OPERATOR(pg_catalog.<=) $7)))"#,
            [25, 20, 1_000, 701, 701]
        ),
    ]

    @Test(arguments: shapes)
    func theStatementsText(filter: Filter, sql: String, types: [UInt32]) throws {
        let plan = try plan(filter)
        #expect(plan.shape.sql(alias: "t", firstParameter: 3) == sql)
        #expect(plan.shape.parameterTypes == types)
        #expect(plan.values.map(\.typeOID) == types)
    }

    @Test func valuesAndTheLengthsOfListsShareAShape() throws {
        let first = try plan(.and([compare("name", .text("a")), .oneOf(column: "size", [])]))
        let second = try plan(.and([compare("name", .text("b")), .oneOf(column: "size", (0..<9).map { .int($0) })]))
        #expect(first.shape == second.shape && first.values != second.values)
        let third = try plan(.and([compare("name", .text("b")), .oneOf(column: "size", [.double(1)])]))
        #expect(first.shape != third.shape)
        #expect(try plan(.compare(column: "size", .less, .int(1))).shape != plan(compare("size", .int(1))).shape)
        #expect(try plan(compare("made", .text("2024-01-31"))).shape == plan(compare("made", .timestamp(5))).shape)
    }

    @Test func clientWordsAreNeverInTheText() throws {
        let hostile = "'; DROP TABLE a; --"
        let filter = Filter.or([
            compare("name", .text(hostile)), .hasPrefix(column: "name", hostile),
            .oneOf(column: "name", [.text(hostile)]), .overlaps(column: "tags", [hostile]),
        ])
        #expect(!(try plan(filter).shape.sql(alias: "t", firstParameter: 1).contains("DROP")))
        #expect(error(.isNull(column: hostile))?.code == .unknownColumn)
    }

    // MARK: Values

    @Test(
        arguments: [
            (.compare(column: "flag", .equal, .bool(true)), [1]),
            (.compare(column: "flag", .equal, .bool(false)), [0]),
            (.compare(column: "size", .equal, .int(-2)), [255, 255, 255, 255, 255, 255, 255, 254]),
            (.compare(column: "size", .equal, .double(1.5)), [0x3F, 0xF8, 0, 0, 0, 0, 0, 0]),
            (.compare(column: "score", .equal, .int(1)), [0x3F, 0xF0, 0, 0, 0, 0, 0, 0]),
            (.compare(column: "name", .equal, .text("né")), [0x6E, 0xC3, 0xA9]),
            (.compare(column: "made", .equal, .timestamp(1)), [0, 0, 0, 0, 0, 0, 0, 1]),
            (.compare(column: "made", .equal, .text("2000-01-01T00:00:01Z")), [0, 0, 0, 0, 0, 0x0F, 0x42, 0x40]),
            (
                .compare(column: "key", .equal, .text("00010203-0405-0607-0809-0A0b0c0d0e0f")),
                [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]
            ),
            (.hasPrefix(column: "name", ""), []),
            // Arrays: dimensions, nulls, element type; then length and first index; then the elements.
            (.oneOf(column: "size", []), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20]),
            (
                .oneOf(column: "flag", [.bool(true), .bool(false)]),
                [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0]
            ),
            (
                .oneOf(column: "size", [.int(1), .double(1.5)]),
                [
                    0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0xBD, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 8, 0x3F, 0xF0, 0, 0, 0, 0,
                    0, 0,
                    0, 0, 0, 8, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0,
                ]
            ),
            (
                .overlaps(column: "tags", ["a", ""]),
                [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0x61, 0, 0, 0, 0]
            ),
            (
                .compare(column: "tags", .equal, .textArray(["a"])),
                [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x61]
            ),
        ] as [(Filter, [UInt8])])
    func aParametersBytes(filter: Filter, bytes: [UInt8]) throws {
        #expect(try plan(filter).values.map(\.bytes) == [bytes])
    }

    // MARK: Errors

    @Test func everyTypeAgainstEveryValue() throws {
        let values: [(Filter.Value, String)] = [
            (.bool(true), "bool"), (.int(1), "int"), (.double(1), "float"), (.text("secret"), "text"),
            (.timestamp(1), "timestamp"), (.uuid(high: 1, low: 1), "uuid"), (.textArray(["secret"]), "text[]"),
        ]
        for (column, type) in Self.columns {
            for (value, name) in values {
                let fits = type.rawValue == name || ["int", "float"].contains(name) && (type == .int || type == .float)
                let error = error(compare(column, value))
                #expect((error == nil) == fits, "\(type) \(name)")
                guard let error else { continue }
                #expect(error.code == .invalidArgument && !error.message.contains("secret"))
                #expect(error.message.hasPrefix("filter: column \"\(column)\" is \(type.rawValue); it "))
                let isParsed = value == .text("secret") && (type == .timestamp || type == .uuid)
                #expect(error.message.hasSuffix("cannot be compared with \(name)") != isParsed)
            }
        }
    }

    @Test(
        arguments: [
            (
                .compare(column: "size", .equal, .text("secret")),
                #"column "size" is int; it cannot be compared with text"#
            ),
            (
                .oneOf(column: "size", [.int(1), .bool(true)]),
                #"column "size" is int; it cannot be compared with bool"#
            ),
            (
                .between(column: "name", low: .text("a"), high: .int(1)),
                #"column "name" is text; it cannot be compared with int"#
            ),
            (
                .compare(column: "made", .equal, .text("secret")),
                #"column "made" is timestamp; "#
                    + "it is compared with a text that is not a time such as 2024-01-31T12:30:00Z"
            ),
            (
                .compare(column: "key", .equal, .text("secret")),
                #"column "key" is uuid; it is compared with a text that is not 32 hexadecimal digits with hyphens"#
            ),
            (
                .compare(column: "tags", .less, .textArray([])),
                #"column "tags" is text[]; it can only be compared by = and !="#
            ),
            (
                .between(column: "tags", low: .textArray([]), high: .textArray([])),
                #"column "tags" is text[]; it can only be compared by = and !="#
            ),
            (.oneOf(column: "tags", []), #"column "tags" is text[]; it cannot be looked up in a list"#),
            (.hasPrefix(column: "tags", "a"), #"column "tags" is text[]; only text has a prefix"#),
            (.overlaps(column: "name", ["a"]), #"column "name" is text; only text[] can overlap"#),
            (.and([]), #"an "and" or "or" has no operand; it must have at least one"#),
            (.not(.or([])), #"an "and" or "or" has no operand; it must have at least one"#),
        ] as [(Filter, String)])
    func whatDoesNotFit(filter: Filter, message: String) {
        #expect(error(filter)?.code == .invalidArgument)
        #expect(error(filter)?.message == "filter: " + message)
    }

    @Test func unknownColumns() {
        let filters: [(String) -> Filter] = [
            { .compare(column: $0, .equal, .int(1)) }, { .oneOf(column: $0, []) }, { .isNull(column: $0) },
            { .between(column: $0, low: .int(1), high: .int(2)) }, { .hasPrefix(column: $0, "") },
            { .overlaps(column: $0, []) }, { .and([.isNull(column: "name"), .not(.isNull(column: $0))]) },
        ]
        for filter in filters {
            #expect(error(filter("nmae"))?.code == .unknownColumn)
            #expect(
                error(filter("nm\u{1B}ae"))?.message
                    == "filter: collection \"programs\" has no filterable column \"nm?ae\"")
        }
    }
}
