//! The examples of the standards.
//!
//! None of them is an access token: those of RFC 7515 have no `sub` and no `aud`, and that of
//! RFC 8037 contains no JSON. Refusing them for this reason shows that the signature was valid;
//! with one symbol changed, the reason is the signature.

use portcullis_jwt::{Jwt, JwtError, Key};

struct Vector {
    source: &'static str,
    key: &'static str,
    token: &'static str,
    /// The reason for refusing it after the signature has been verified.
    reason: JwtError,
}

const VECTORS: [Vector; 4] = [
    Vector {
        source: "RFC 7515 A.1, HS256",
        key: concat!(
            r#"{"kty": "oct", "alg": "HS256", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoq"#,
            r#"Q-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
        ),
        token: "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA\
                4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB9\
                2K27uhbUJU1p1r_wW1gFWFOEjXk",
        reason: JwtError::Audience,
    },
    Vector {
        source: "RFC 7515 A.2, RS256",
        key: concat!(
            r#"{"kty": "RSA", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l"#,
            r#"8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W"#,
            r#"_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbB"#,
            r#"YUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4L"#,
            r#"T6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb"#,
            r#"54h4FRWyuXpoQ", "e": "AQAB"}"#,
        ),
        token: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA\
                6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat\
                0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t\
                1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07\
                Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnv\
                Wh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77\
                Rw",
        reason: JwtError::Audience,
    },
    Vector {
        source: "RFC 7515 A.3, ES256",
        key: concat!(
            r#"{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus"#,
            r#"9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        ),
        token: "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA\
                6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4Ga\
                wxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        reason: JwtError::Audience,
    },
    Vector {
        source: "RFC 8037 A.4, EdDSA",
        key: concat!(
            r#"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiM"#,
            r#"lrwIaaPcHURo"}"#,
        ),
        token: "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnL\
                WG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        reason: JwtError::Claims,
    },
];

#[test]
fn signatures_of_the_standards_are_valid() {
    for vector in &VECTORS {
        let jwt = verifier(vector.key);
        assert_eq!(
            jwt.check(vector.token).err(),
            Some(vector.reason),
            "{}",
            vector.source
        );
    }
}

#[test]
fn changing_one_symbol_makes_the_signature_invalid() {
    for vector in &VECTORS {
        let jwt = verifier(vector.key);
        let (signed, signature) = vector.token.rsplit_once('.').unwrap();
        let other = |symbol: &str| if symbol == "A" { "B" } else { "A" };
        // The last symbol but one of the payload and the first of the signature: both stay canonical.
        let (head, tail) = signed.split_at(signed.len() - 2);
        let payload = format!("{head}{}{}.{signature}", other(&tail[..1]), &tail[1..]);
        let changed = format!("{signed}.{}{}", other(&signature[..1]), &signature[1..]);
        for token in [payload, changed] {
            assert_eq!(
                jwt.check(&token).err(),
                Some(JwtError::Signature),
                "{}",
                vector.source
            );
        }
    }
}

/// RFC 7515 A.4 uses ES512 on P-521, which is not supported.
#[test]
fn a_key_on_p521_is_refused() {
    const KEY: &str = concat!(
        r#"{"kty": "EC", "crv": "P-521", "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmP"#,
        r#"k06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk", "y": "ADSmRA4"#,
        r#"3Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ub"#,
        r#"mf63e3kyMj2"}"#,
    );

    let error = Key::from_jwk(KEY).unwrap_err();
    assert!(error.to_string().contains("`crv`"), "{error}");
}

fn verifier(key: &str) -> Jwt {
    let jwt = Jwt::builder(Key::from_jwk(key).unwrap())
        .issuer("joe")
        .audience("any");
    jwt.build().unwrap()
}
