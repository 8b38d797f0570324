import SluicePostgres
import Testing

/// Plans as PostgreSQL 16 writes them, with conditions that quote what somebody asked with.
@Suite struct QueryPlanTests {
    private static func node(_ kind: String, _ more: String = "", _ plans: String = "") -> String {
        """
        {"Node Type": "\(kind)", "Parallel Aware": false, "Async Capable": false, "Startup Cost": 83.67,
        "Total Cost": 1032.00, "Plan Rows": 5000, "Plan Width": 16\(more.isEmpty ? "" : ", " + more)
        \(plans.isEmpty ? "" : ", \"Plans\": [\(plans)]")}
        """
    }

    private static func plan(_ root: String) -> String { "[\n  {\n    \"Plan\": \(root)\n  }\n]" }

    private static let canary = "canary-7f3a"
    private static let vector = "[0.27182818,1,2]"
    private static let filter = #""Filter": "((name = '\#(canary)'::text) AND (note ~~ '%\"\\\#(canary)'::text))""#
    private static let order = #""Order By": "(e <-> '\#(vector)'::vector)""#
    private static let sort = #""Sort Key": ["((e <-> '\#(vector)'::vector))", "id"]"#

    @Test func anIndexInTheOrderOfTheDistances() throws {
        let scan = Self.node("Index Scan", #""Index Name": "t_e_idx", \#(Self.order), \#(Self.filter)"#)
        let plan = try #require(QueryPlan(json: Self.plan(Self.node("Limit", "", scan)).utf8))
        #expect(plan.steps == "Limit > Index Scan using t_e_idx")
        #expect(plan.isOrderedByIndex && plan.readsIndex)
        #expect(plan.rows == 5_000 && plan.cost == 1_032)
    }

    @Test func theWholeTable() throws {
        let sort = Self.node("Sort", Self.sort, Self.node("Seq Scan", #""Relation Name": "t", \#(Self.filter)"#))
        let plan = try #require(QueryPlan(json: Self.plan(Self.node("Limit", "", sort)).utf8))
        #expect(plan.steps == "Limit > Sort > Seq Scan")
        #expect(!plan.isOrderedByIndex && !plan.readsIndex)
    }

    @Test func anIndexForTheFilter() throws {
        let index = Self.node(
            "Bitmap Index Scan", #""Index Name": "t_name", "Index Cond": "(name = '\#(Self.canary)')""#)
        let heap = Self.node("Bitmap Heap Scan", #""Recheck Cond": "(name = '\#(Self.canary)')""#, index)
        let plan = try #require(QueryPlan(json: Self.plan(Self.node("Sort", Self.sort, heap)).utf8))
        #expect(plan.steps == "Sort > Bitmap Heap Scan > Bitmap Index Scan using t_name")
        #expect(!plan.isOrderedByIndex && plan.readsIndex)
    }

    @Test func partitionsAreJoinedAndMoreThanAFewOfThemCounted() throws {
        func scan(_ number: Int) -> String { Self.node("Index Scan", "\"Index Name\": \"p\(number)\", \(Self.order)") }
        let few = Self.node("Merge Append", Self.sort, (0..<2).map(scan).joined(separator: ","))
        #expect(
            QueryPlan(json: Self.plan(few).utf8)?.steps
                == "Merge Append > Index Scan using p0 + Index Scan using p1")
        let many = Self.node("Merge Append", Self.sort, (0..<1_000).map(scan).joined(separator: ","))
        let plan = try #require(QueryPlan(json: Self.plan(many).utf8))
        #expect(plan.steps.hasSuffix(" + Index Scan using p10 and 989 more") && plan.steps.utf8.count < 500)
    }

    /// Wherever a server may write what somebody asked with, or a name of its own for a step.
    @Test func nothingThatWasAskedWithComesThrough() throws {
        let places = [
            "Filter", "Index Cond", "Recheck Cond", "Order By", "Join Filter", "Hash Cond", "One-Time Filter",
            "Function Call", "Output", "Sort Key", "Group Key", "Alias", "Relation Name", "Subplan Name",
            "Custom Plan Provider", "Presorted Key", "Query Text", "TID Cond", "Cache Key", "Scan Direction",
        ]
        let values = [
            "\"\(Self.canary)\"", "[\"\(Self.canary)\", {\"Node Type\": \"\(Self.canary)\"}]",
            "{\"Plan\": {\"Index Name\": \"\(Self.canary)\", \"Node Type\": \"\(Self.canary)\"}}",
        ]
        for value in values {
            let more = places.map { "\"\($0)\": \(value)" }.joined(separator: ",")
            let inner = Self.node(Self.canary, more, Self.node("Seq Scan", more))
            let text = "[{\"Settings\": \(value), \"Plan\": \(Self.node("Limit", more, inner)), \"JIT\": \(value)}]"
            let plan = try #require(QueryPlan(json: text.utf8))
            #expect(plan.steps == "Limit > another step > Seq Scan")
            #expect(!"\(plan)".contains(Self.canary) && !plan.readsIndex && !plan.isOrderedByIndex)
        }
    }

    @Test func namesOfIndexesAreShownOnOneLine() throws {
        let name = #"we\"ird \\ é\n\u0007x"#
        let scan = Self.node("Index Only Scan", "\"Index Name\": \"\(name)\"")
        #expect(QueryPlan(json: Self.plan(scan).utf8)?.steps == #"Index Only Scan using we"ird \ é??x"#)
        let raw = Self.node("Index Scan", "\"Index Name\": \"a\u{1b}[31m\u{202e}\u{2028}b\"")
        #expect(QueryPlan(json: Self.plan(raw).utf8)?.steps == "Index Scan using a?[31m??b")
        let long = Self.node("Index Scan", "\"Index Name\": \"\(String(repeating: "n", count: 10_000))\"")
        #expect(QueryPlan(json: Self.plan(long).utf8)?.steps.utf8.count == "Index Scan using ".utf8.count + 63)
    }

    @Test func whatIsNoPlanGivesNone() {
        let whole = Self.plan(Self.node("Limit", Self.order, Self.node("Seq Scan")))
        #expect(QueryPlan(json: whole.utf8) != nil)
        for length in 0..<whole.utf8.count {
            #expect(QueryPlan(json: whole.utf8.prefix(length)) == nil, "\(length) bytes")
        }
        for text in [
            "", "[]", "{}", "null", "[{}]", "[{\"Plan\": 1}]", "[{\"Plan\": \"Utility Statement\"}]",
            "[{\"Plan\": {}}]",
            "[{\"Plan\": {\"Plan Rows\": \"5\"}}]", "[{\"Plan\": {\"Plan Rows\": -5}}]",
            "[{\"Plan\": {\"Plan Rows\": nan}}]", "[{\"Plan\": {\"Plan Rows\": 1e999}}]",
            "[{\"Plan\": {\"Plan Rows\": 5, \"Plans\": {}}}]", "[{\"Plan\": {\"Plan Rows\": 5,}}]",
            "[{\"Plan\": {\"Plan Rows\": 5}}] x", "[{\"Plan\": {\"Plan Rows\": 5}}, 1]",
        ] {
            #expect(QueryPlan(json: text.utf8) == nil, "\(text)")
        }
    }

    @Test(arguments: [50, 5_000, 1_000_000]) func nestingWithoutEndIsNoPlan(depth: Int) {
        let plans = String(repeating: "{\"Plan Rows\": 1, \"Plans\": [", count: depth)
        let ends = String(repeating: "]}", count: depth)
        #expect((QueryPlan(json: "[{\"Plan\": \(plans)\(ends)}]".utf8) != nil) == (depth < 100))
        let lists = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        let root = "{\"Plan Rows\": 1, \"Output\": \(lists)}"
        #expect((QueryPlan(json: "[{\"Plan\": \(root)}]".utf8) != nil) == (depth < 100))
    }
}
