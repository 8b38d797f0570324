import SluiceCore
import Testing

@Suite struct ValueTextTests {
    /// The same table is in SluiceClientTests: client and gateway read times alike.
    @Test(
        arguments: [
            ("2000-01-01", 0), ("2000-01-01T00:00:00Z", 0), ("2000-01-01 00:00", 0), ("2000-03-01", 5_184_000_000_000),
            ("1999-12-31T23:59:59.999999Z", -1), ("1970-01-01T00:00:00Z", -946_684_800_000_000),
            ("2024-02-29t12:30:05.25z", 762_525_005_250_000), ("2024-01-31T12:30:00+01:30", 760_014_000_000_000),
            ("2024-01-31T09:30:00-0130", 760_014_000_000_000), ("2024-01-31T10:00:00-01", 760_014_000_000_000),
            ("0001-01-01", -63_082_281_600_000_000), ("9999-12-31T23:59:59.999999Z", 252_455_615_999_999_999),
            ("1900-03-01", -3_150_576_000_000_000),
        ] as [(String, Int64)])
    func times(text: String, microseconds: Int64) {
        #expect(TimestampText.microseconds(text) == microseconds)
    }

    @Test(arguments: [
        "", "2024", "2024-1-31", "2024-00-01", "2024-13-01", "2024-02-30", "2023-02-29", "1900-02-29", "2024-04-31",
        "0000-01-01", "2024-01-31T", "2024-01-31T12", "2024-01-31T24:00:00Z", "2024-01-31T12:60:00Z",
        "2024-01-31T12:30:60Z", "2024-01-31T12:30:00.Z", "2024-01-31T12:30:00.1234567Z", "2024-01-31T12:30:00ZZ",
        "2024-01-31T12:30:00+", "2024-01-31T12:30:00+16:00", "2024-01-31T12:30:00+01:60", "2024-01-31T12:30:00+01:",
        "2024-01-31X12:30:00Z", "2024-01-31Z", "+2024-01-31", "2024-01-31T12:30:00 Z", "２０２４-01-31",
    ])
    func notATime(text: String) {
        #expect(TimestampText.microseconds(text) == nil)
    }

    @Test func uuids() throws {
        let (high, low) = try #require(UUIDText.parse("0B4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b6"))
        #expect(high == 0x0B4F_6C1E_9A3D_4C58 && low == 0x8F21_7D5E_2A90_C3B6)
        let wrong = [
            "", "0b4f6c1e", "0b4f6c1e9a3d4c588f217d5e2a90c3b6", "0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b",
            "0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b6a", "0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3bg",
            "{0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b6}", "0b4f6c1e_9a3d-4c58-8f21-7d5e2a90c3b6",
            "0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b６",
        ]
        for text in wrong { #expect(UUIDText.parse(text) == nil) }
    }

    @Test func columnTypesAreWrittenAsInTheConfiguration() {
        #expect(
            FilterColumnType.allCases.map(\.rawValue)
                == ["bool", "int", "float", "text", "timestamp", "uuid", "text[]"])
    }
}
