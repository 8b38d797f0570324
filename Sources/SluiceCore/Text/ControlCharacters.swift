extension String {
    /// As it may stand in a message: on one line, and without what a terminal would obey.
    package var withoutControls: String {
        String(UnicodeScalarView(unicodeScalars.map { $0.value < 32 || $0.value == 127 ? "?" : $0 }))
    }
}
