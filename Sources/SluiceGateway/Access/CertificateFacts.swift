internal import COpenSSL
internal import SluicePostgres

/// What a certificate says of its owner, by libcrypto.
package struct CertificateFacts: Hashable, Sendable {
    /// The subject's common names and the alternative names, with their kinds, like `CN:shop`, `DNS:shop.example`,
    /// `URI:spiffe://example/shop`, `EMAIL:a@b.example`, `IP:10.0.0.1`. None has a NUL.
    package private(set) var names: [String] = []
    /// In seconds since 1970.
    package private(set) var expires: Int64?

    /// - Parameter der: the certificate in DER form.
    /// - Returns: nil if it is none.
    package init?(der: [UInt8]) {
        let certificate = der.withUnsafeBufferPointer { bytes in
            var start = bytes.baseAddress
            return d2i_X509(nil, &start, bytes.count)
        }
        guard let certificate else { return nil }
        defer { X509_free(certificate) }
        names = Self.commonNames(certificate) + Self.alternativeNames(certificate)
        expires = TransportFacts.Certificate.expiry(of: certificate)
    }

    private static func commonNames(_ certificate: OpaquePointer) -> [String] {
        guard let subject = X509_get_subject_name(certificate) else { return [] }
        var names: [String] = []
        var place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
        while place >= 0 {
            let value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, place))
            if let name = value.flatMap({ text($0) }) {
                names.append("CN:" + name)
            }
            place = X509_NAME_get_index_by_NID(subject, NID_commonName, place)
        }
        return names
    }

    private static func alternativeNames(_ certificate: OpaquePointer) -> [String] {
        guard let found = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return [] }
        let stack = OpaquePointer(found)
        defer { GENERAL_NAMES_free(stack) }
        return (0..<max(0, OPENSSL_sk_num(stack))).compactMap { place in
            guard let name = OPENSSL_sk_value(stack, place) else { return nil }
            var kind: Int32 = 0
            let value = GENERAL_NAME_get0_value(name.assumingMemoryBound(to: GENERAL_NAME.self), &kind)
            guard let value = value.map({ UnsafePointer($0.assumingMemoryBound(to: ASN1_STRING.self)) }) else {
                return nil
            }
            switch kind {
            case GEN_DNS: return text(value).map { "DNS:" + $0 }
            case GEN_URI: return text(value).map { "URI:" + $0 }
            case GEN_EMAIL: return text(value).map { "EMAIL:" + $0 }
            case GEN_IPADD: return address(bytes(value)).map { "IP:" + $0 }
            default: return nil
            }
        }
    }

    /// Nil for what has a NUL in it: C programs would read only what is before.
    private static func text(_ string: UnsafePointer<ASN1_STRING>) -> String? {
        var utf8: UnsafeMutablePointer<UInt8>?
        let count = ASN1_STRING_to_UTF8(&utf8, string)
        guard count >= 0, let utf8 else { return nil }
        // What `OPENSSL_free` stands for.
        defer { CRYPTO_free(utf8, nil, 0) }
        let bytes = UnsafeBufferPointer(start: utf8, count: Int(count))
        return bytes.contains(0) ? nil : String(validating: bytes, as: UTF8.self)
    }

    private static func bytes(_ string: UnsafePointer<ASN1_STRING>) -> [UInt8] {
        guard let start = ASN1_STRING_get0_data(string) else { return [] }
        return Array(UnsafeBufferPointer(start: start, count: Int(max(0, ASN1_STRING_length(string)))))
    }

    private static func address(_ bytes: [UInt8]) -> String? {
        switch bytes.count {
        case 4: return bytes.map { String($0) }.joined(separator: ".")
        case 16:
            return stride(from: 0, to: 16, by: 2).map {
                String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16)
            }
            .joined(separator: ":")
        default: return nil
        }
    }
}
