import SluiceClient
import SluiceWire
import Testing

@Suite struct FilterParserTests {
    private static let net = FilterExpression.compare(column: "section", .equal, .text("net"))
    private static func test(_ column: String) -> FilterExpression { .isNull(column: column) }

    @Test(
        arguments: [
            ("section = 'net'", net), (" SECTION\t=\n'net' ", .compare(column: "SECTION", .equal, .text("net"))),
            ("\"section\"='net'", net), ("((section = 'net'))", net),
            ("\"odd \"\" näme\" = ''", .compare(column: "odd \" näme", .equal, .text(""))),
            ("c = 'it''s'", .compare(column: "c", .equal, .text("it's"))),
            ("c != 1", .compare(column: "c", .notEqual, .int(1))), ("c<>1", .compare(column: "c", .notEqual, .int(1))),
            ("c<-1", .compare(column: "c", .less, .int(-1))),
            ("c <= 1.5", .compare(column: "c", .lessOrEqual, .double(1.5))),
            ("c > -2e-3", .compare(column: "c", .greater, .double(-0.002))),
            ("c >= .5", .compare(column: "c", .greaterOrEqual, .double(0.5))),
            ("c = -9223372036854775808", .compare(column: "c", .equal, .int(.min))),
            ("c = TRUE", .compare(column: "c", .equal, .bool(true))),
            ("c = False", .compare(column: "c", .equal, .bool(false))),
            ("c = timestamp '2000-01-01T00:00:01Z'", .compare(column: "c", .equal, .timestamp(1_000_000))),
            ("c = timestamp -5", .compare(column: "c", .equal, .timestamp(-5))),
            (
                "c = uuid '00000000-0000-0001-0000-00000000000a'",
                .compare(column: "c", .equal, .uuid(high: 1, low: 10))
            ),
            ("c = array['a', 'b']", .compare(column: "c", .equal, .textArray(["a", "b"]))),
            ("c in (1, 2.5, 'x')", .oneOf(column: "c", [.int(1), .double(2.5), .text("x")])),
            ("c in ()", .oneOf(column: "c", [])), ("c not in (1)", .not(.oneOf(column: "c", [.int(1)]))),
            ("c between 1 and 2", .between(column: "c", low: .int(1), high: .int(2))),
            ("c not between 1 and 2", .not(.between(column: "c", low: .int(1), high: .int(2)))),
            ("c Is Null", test("c")), ("c is not null", .not(test("c"))),
            ("c like 'lib%'", .hasPrefix(column: "c", "lib")), ("c like '%'", .hasPrefix(column: "c", "")),
            ("c not like '10\\%\\_\\\\%'", .not(.hasPrefix(column: "c", "10%_\\"))),
            ("c && ('a', 'b')", .overlaps(column: "c", ["a", "b"])), ("c overlaps ()", .overlaps(column: "c", [])),
            // Words that mean something only after an operator are names before it.
            ("timestamp is null", test("timestamp")), ("uuid is null", test("uuid")), ("array is null", test("array")),
            ("overlaps overlaps ('a')", .overlaps(column: "overlaps", ["a"])), ("\"and\" is null", test("and")),
            // `not` binds tighter than `and`, which binds tighter than `or`.
            (
                "not a is null and b is null or c is null",
                .or([.and([.not(test("a")), test("b")]), test("c")])
            ),
            (
                "a is null and (b is null or c is null)",
                .and([test("a"), .or([test("b"), test("c")])])
            ),
            ("a is null and (b is null and c is null)", .and([test("a"), test("b"), test("c")])),
            ("not not a is null", .not(.not(test("a")))), ("not (a is null)", .not(test("a"))),
            ("a between 1 and 2 and b is null", .and([.between(column: "a", low: .int(1), high: .int(2)), test("b")])),
        ] as [(String, FilterExpression)])
    func whatATextMeans(text: String, expression: FilterExpression) throws {
        let filter = try Filter(parsing: text)
        #expect(filter.expression == expression)
        #expect(try Filter(parsing: filter.description) == filter)
    }

    // MARK: Errors

    private static let value = "a value: 'text', a number, true, false, timestamp '…', uuid '…' or array['…']"
    private static let name = "a column's name, \"not\" or \"(\""
    private static let operation = "an operator: = != < <= > >= in, between, is, like, && or not"
    private static let pattern =
        "a pattern with one % at its end, such as 'abc%'; \\% and \\_ are the characters themselves"

    @Test(
        arguments: [
            ("", 0, name, "the end"), ("  ", 2, name, "the end"), ("5 < c", 0, name, "5"),
            ("a is null and", 13, name, "the end"),
            ("and", 0, name, "and"), ("'a' = c", 0, name, "'a'"), ("null is null", 0, name, "null"),
            ("a is null or or", 13, name, "or"),
            ("()", 1, name, ")"), ("c", 1, operation, "the end"), ("c 5", 2, operation, "5"), ("c == 5", 3, value, "="),
            ("c = ", 4, value, "the end"), ("c = net", 4, value, "net"), ("c = \"net\"", 4, value, "\"net\""),
            ("c = null", 4, "a value (null is asked for with \"is null\")", "null"),
            ("c = (1)", 4, value, "("), ("c = 'net", 4, "a closing ' for the one here", "'net"),
            ("\"c", 0, "a closing \" for the one here", "\"c"), ("c = 12abc", 4, "a number", "12abc"),
            ("c = 0x1p3", 4, "a number", "0x1p3"), ("c = -", 4, "a number", "-"), ("c = 1.2.3", 4, "a number", "1.2.3"),
            ("c = 1e", 4, "a number", "1e"),
            ("c = 9223372036854775808", 4, "a number that an integer of 64 bits holds", "9223372036854775808"),
            ("c = 1e999", 4, "a number that a float of 64 bits holds", "1e999"),
            ("c = 'a\0b'", 6, "a text without NUL", " "),
            ("c = 'é' x", 8, "\"and\", \"or\" or the end", "x"), ("(c = 1", 6, "\"and\", \"or\" or \")\"", "the end"),
            ("c = 1)", 5, "\"and\", \"or\" or the end", ")"), ("c = 1 2", 6, "\"and\", \"or\" or the end", "2"),
            ("c not = 1", 6, "\"in\", \"between\" or \"like\"", "="),
            ("c not null", 6, "\"in\", \"between\" or \"like\"", "null"),
            ("c is 5", 5, "\"null\" or \"not null\"", "5"), ("c is not 5", 9, "\"null\"", "5"),
            ("c in 1", 5, "\"(\" and a list", "1"), ("c in (1 2)", 8, "\",\" or \")\"", "2"),
            ("c in (1,", 8, value, "the end"),
            ("c in (1,)", 8, value, ")"), ("c in (null)", 6, "a value (null is asked for with \"is null\")", "null"),
            ("c between 1", 11, "\"and\" and the upper end of \"between\"", "the end"),
            ("c between 1 or 2", 12, "\"and\" and the upper end of \"between\"", "or"),
            ("c like 5", 7, "a pattern such as 'abc%'", "5"), ("c like 'abc'", 7, pattern, "'abc'"),
            ("c like '%abc'", 7, pattern, "'%abc'"), ("c like 'a%c%'", 7, pattern, "'a%c%'"),
            ("c like 'a_c%'", 7, pattern, "'a_c%'"), ("c like 'a\\%'", 7, pattern, "'a\\%'"),
            ("c like 'a\\b%'", 7, pattern, "'a\\b%'"), ("c like 'a\\'", 7, pattern, "'a\\'"),
            ("c like 'a%%'", 7, pattern, "'a%%'"),
            ("c && 'a'", 5, "\"(\" and a list", "'a'"), ("c && (1)", 6, "a text in single quotes", "1"),
            ("c = array('a')", 9, "\"[\" and a list", "("), ("c = array['a')", 13, "\",\" or \"]\"", ")"),
            (
                "c = timestamp 'soon'", 14,
                "a time such as 2024-01-31T12:30:00Z in single quotes, or microseconds since 2000", "'soon'"
            ),
            (
                "c = timestamp 9223372036854775807", 14,
                "a time such as 2024-01-31T12:30:00Z in single quotes, or microseconds since 2000",
                "9223372036854775807"
            ),
            (
                "c = uuid '0b4f'", 9, "a UUID such as 0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b6 in single quotes", "'0b4f'"
            ),
            (
                "c = 1; drop", 5,
                "a name, a value or an operator (names with other characters are written \"in quotes\")", ";"
            ),
            (
                "naïve = 1", 2,
                "a name, a value or an operator (names with other characters are written \"in quotes\")", "ï"
            ),
            ("\"\" = 1", 0, "a column's name of 1 to 63 bytes", "\"\""),
            (
                "c = 'this text is longer than what is shown'5", 44, "\"and\", \"or\" or the end", "5"
            ),
        ] as [(String, Int, String, String)])
    func whereATextIsWrong(text: String, offset: Int, expected: String, found: String) {
        #expect { try Filter(parsing: text) } throws: { error in
            guard let error = error as? FilterSyntaxError else { return false }
            #expect(error.offset == offset && error.expected == expected, "\(error)")
            #expect(error.found == (found == "the end" ? found : "`\(found)`"), "\(error)")
            return error.line == 1 && error.column == offset + 1
        }
    }

    private func error(_ text: String) -> FilterSyntaxError? {
        do {
            _ = try Filter(parsing: text)
            return nil
        } catch { return error }
    }

    @Test func theDescriptionPointsAtThePlace() {
        #expect(
            error("section = and c = 5")?.description == """
                filter, character 11: expected \(Self.value), found `and`
                  section = and c = 5
                            ^
                """)
        #expect(
            error("section = 'net'\n\tand c like 'a_'\nor d = 5")?.description == """
                filter, line 2, column 13: expected \(Self.pattern), found `'a_'`
                   and c like 'a_'
                              ^
                """)
    }

    @Test func longLinesAreCutAroundThePlace() throws {
        let long = Array(repeating: "c = 'net'", count: 100).joined(separator: " and ")
        let error = try #require(self.error(long + " § " + long))
        let lines = error.description.split(separator: "\n")
        #expect(lines.count == 3 && lines.allSatisfy { $0.count < 200 })
        let caret = try #require(lines[2].firstIndex(of: "^"))
        let place = lines[2].distance(from: lines[2].startIndex, to: caret)
        #expect(lines[1].dropFirst(place).first == "§")
        #expect(error.offset == long.count + 1)
        let foundLong = try #require(self.error("c like '" + String(repeating: "x", count: 500) + "'"))
        #expect(foundLong.found == "`'" + String(repeating: "x", count: 23) + "…`")
    }

    // MARK: Limits

    @Test func nesting() throws {
        func parentheses(_ count: Int) -> String {
            String(repeating: "(", count: count) + "c = 1" + String(repeating: ")", count: count)
        }
        #expect(throws: Never.self) { try Filter(parsing: parentheses(32)) }
        #expect(error(parentheses(33))?.expected == "at most 32 parentheses and \"not\"s in each other")
        #expect(error(parentheses(33))?.offset == 32)
        for opening in ["(", "not ", "not(", "(c = 1 and ", "((c = 1) or "] {
            #expect(error(String(repeating: opening, count: 100_000)) != nil)
        }
    }

    @Test func depth() throws {
        func nots(_ count: Int) -> String { String(repeating: "not ", count: count) + "c = 1" }
        #expect(throws: Never.self) { try Filter(parsing: nots(15)) }
        #expect(error(nots(16))?.expected == "a filter that is at most 16 levels deep")
        #expect(error("a = 1 and " + nots(15))?.offset == 0)
    }

    @Test func sizes() throws {
        let conditions = Array(repeating: "c = 1", count: 1_024)
        #expect(throws: Never.self) { try Filter(parsing: conditions.joined(separator: " or ")) }
        #expect(error((conditions + ["c = 1"]).joined(separator: " or "))?.expected == "at most 1024 conditions")
        let values = Array(repeating: "1", count: 10_000)
        #expect(throws: Never.self) { try Filter(parsing: "c in (\(values.joined(separator: ",")))") }
        let list = error("c in (\((values + ["1"]).joined(separator: ",")))")
        #expect(list?.expected == "at most 10000 values in a list" && list?.offset == 20_006)
        let name = String(repeating: "x", count: 63)
        #expect(throws: Never.self) { try Filter(parsing: "\(name) = 1") }
        #expect(error("\(name)x = 1")?.expected == "a column's name of 1 to 63 bytes")
        #expect(error("c = 1" + String(repeating: " ", count: 1_048_571)) == nil)
        #expect(error("c = 1" + String(repeating: " ", count: 1_048_572))?.offset == 1_048_576)
    }
}
