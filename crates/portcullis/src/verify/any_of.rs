use portcullis_core::{Credential, Identity, Verify, VerifyError};

/// Combines several verifiers: the credential is valid if one of them accepts it.
///
/// It takes a tuple of one to eight verifiers, or a `Vec` of verifiers of one type, for example one
/// for each issuer of a configuration. Different verifiers fit into a `Vec` after
/// [`boxed`](crate::VerifyExt::boxed). An empty `Vec` refuses every credential.
///
/// Each verifier can attach claims of its own type:
///
/// ```
/// use portcullis::verify::StaticToken;
/// use portcullis::{AuthLayer, Credential, Identity, StaticTokens, VerifyError, any_of};
///
/// struct Service;
///
/// struct Account {
///     admin: bool,
/// }
///
/// # async fn look_up(_: &str) -> Option<(String, Account)> { None }
/// let services = StaticTokens::new([StaticToken::new("backup", "s3cret")?.claims(Service)])?;
/// let users = async |credential: Credential| {
///     match look_up(credential.expose_secret()).await {
///         Some((user, account)) => Ok(Identity::builder(user).claims(account).build()),
///         None => Err(VerifyError::Invalid),
///     }
/// };
/// let auth = AuthLayer::new(any_of((services, users)));
///
/// async fn delete(identity: Identity) -> &'static str {
///     match identity.claims::<Account>() {
///         Some(account) if account.admin => "deleted",
///         _ => "only for administrators",
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::delete(delete)).layer(auth);
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// ```
///
/// # Order
///
/// `any_of` calls the verifiers in order until one of them decides:
///
/// | result of a verifier | effect |
/// |---|---|
/// | an identity | `any_of` returns it |
/// | [`Invalid`] | the next verifier is called |
/// | [`Unavailable`] | the next verifier is called; if none decides, `any_of` returns this error |
/// | [`Expired`], [`Forbidden`] | `any_of` returns it: the verifier knows the credential |
///
/// [`Invalid`]: VerifyError::Invalid
/// [`Unavailable`]: VerifyError::Unavailable
/// [`Expired`]: VerifyError::Expired
/// [`Forbidden`]: VerifyError::Forbidden
///
/// [`verify_now`](Verify::verify_now) returns a result if a verifier decides before one has to
/// wait. Otherwise it returns `None`, and [`verify`](Verify::verify) calls the verifiers again,
/// from the first one. Put verifiers that never wait first.
///
/// # Single-use credentials
///
/// Put [`Tickets`](crate::Tickets), and other verifiers of single-use credentials, last. Such a
/// verifier may use a credential up and still return `Invalid`, for example if the path is wrong,
/// or `Unavailable`, if its store does not respond. `any_of` then calls the next verifier as in the
/// table, and does not restore the credential. An accepted ticket admits one request: `any_of`
/// calls no verifier after that, and `Tickets` never decides in `verify_now`.
pub fn any_of<T>(verifiers: T) -> AnyOf<T>
where
    AnyOf<T>: Verify,
{
    AnyOf(verifiers)
}

/// Several verifiers in order; see [`any_of`].
#[derive(Clone, Copy, Debug)]
pub struct AnyOf<T>(T);

macro_rules! any_of_tuple {
    ($($verifier:ident)+) => {
        #[expect(non_snake_case, reason = "a variable for each type")]
        impl<$($verifier),+> Verify for AnyOf<($($verifier,)+)>
        where
            $($verifier: Verify,)+
        {
            async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
                let ($($verifier,)+) = &self.0;
                let mut undecided = VerifyError::Invalid;
                $(
                    let result = $verifier.verify(credential).await;
                    if let Some(decision) = decision(result, &mut undecided) {
                        return decision;
                    }
                )+
                Err(undecided)
            }

            fn verify_now(
                &self,
                credential: &Credential,
            ) -> Option<Result<Identity, VerifyError>> {
                let ($($verifier,)+) = &self.0;
                let mut undecided = VerifyError::Invalid;
                $(
                    let result = $verifier.verify_now(credential)?;
                    if let Some(decision) = decision(result, &mut undecided) {
                        return Some(decision);
                    }
                )+
                Some(Err(undecided))
            }

            fn needs_handshake(&self) -> bool {
                let ($($verifier,)+) = &self.0;
                false $(|| $verifier.needs_handshake())+
            }
        }
    };
}

any_of_tuple!(A);
any_of_tuple!(A B);
any_of_tuple!(A B C);
any_of_tuple!(A B C D);
any_of_tuple!(A B C D E);
any_of_tuple!(A B C D E F);
any_of_tuple!(A B C D E F G);
any_of_tuple!(A B C D E F G H);

impl<V: Verify> Verify for AnyOf<Vec<V>> {
    async fn verify(&self, credential: &Credential) -> Result<Identity, VerifyError> {
        let mut undecided = VerifyError::Invalid;
        for verifier in &self.0 {
            let result = verifier.verify(credential).await;
            if let Some(decision) = decision(result, &mut undecided) {
                return decision;
            }
        }
        Err(undecided)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        let mut undecided = VerifyError::Invalid;
        for verifier in &self.0 {
            let result = verifier.verify_now(credential)?;
            if let Some(decision) = decision(result, &mut undecided) {
                return Some(decision);
            }
        }
        Some(Err(undecided))
    }

    fn needs_handshake(&self) -> bool {
        self.0.iter().any(Verify::needs_handshake)
    }
}

/// Returns the result of a verifier if it decides. Otherwise updates `undecided`, the result if no
/// other verifier decides.
fn decision(
    result: Result<Identity, VerifyError>,
    undecided: &mut VerifyError,
) -> Option<Result<Identity, VerifyError>> {
    match result {
        Err(VerifyError::Invalid) => None,
        Err(VerifyError::Unavailable { retry_after }) => {
            let earlier = match *undecided {
                VerifyError::Unavailable { retry_after } => retry_after,
                _ => None,
            };
            // The shortest delay, because any of these verifiers may accept the credential.
            let retry_after = earlier.into_iter().chain(retry_after).min();
            *undecided = VerifyError::Unavailable { retry_after };
            None
        }
        decision => Some(decision),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    type Fixed = Result<&'static str, VerifyError>;

    /// Returns the same result for every credential, and counts its calls.
    #[derive(Clone)]
    struct Returns {
        result: Fixed,
        waits: bool,
        calls: Arc<AtomicUsize>,
    }

    fn returns(result: Fixed) -> Returns {
        Returns {
            result,
            waits: false,
            calls: Arc::default(),
        }
    }

    fn waits_and_returns(result: Fixed) -> Returns {
        Returns {
            waits: true,
            ..returns(result)
        }
    }

    impl Returns {
        fn call(&self) -> Result<Identity, VerifyError> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.result.map(Identity::new)
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::Relaxed)
        }
    }

    impl Verify for Returns {
        async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
            tokio::task::yield_now().await;
            self.call()
        }

        fn verify_now(&self, _: &Credential) -> Option<Result<Identity, VerifyError>> {
            (!self.waits).then(|| self.call())
        }
    }

    fn subject(result: Result<Identity, VerifyError>) -> Result<String, VerifyError> {
        result.map(|identity| identity.subject().to_owned())
    }

    const INVALID: Fixed = Err(VerifyError::Invalid);
    const EXPIRED: Fixed = Err(VerifyError::Expired);
    const FORBIDDEN: Fixed = Err(VerifyError::Forbidden);
    const UNAVAILABLE: Fixed = Err(VerifyError::unavailable());

    const fn retry_after(seconds: u64) -> Fixed {
        Err(VerifyError::Unavailable {
            retry_after: Some(Duration::from_secs(seconds)),
        })
    }

    #[tokio::test]
    async fn first_deciding_result_is_the_result() {
        // The results of three verifiers, the combined result, and the number of calls.
        let table: &[([Fixed; 3], Fixed, usize)] = &[
            ([Ok("a"), Ok("b"), Ok("c")], Ok("a"), 1),
            ([INVALID, Ok("b"), Ok("c")], Ok("b"), 2),
            ([INVALID, INVALID, Ok("c")], Ok("c"), 3),
            ([INVALID, INVALID, INVALID], INVALID, 3),
            ([EXPIRED, Ok("b"), Ok("c")], EXPIRED, 1),
            ([INVALID, EXPIRED, Ok("c")], EXPIRED, 2),
            ([FORBIDDEN, Ok("b"), Ok("c")], FORBIDDEN, 1),
            ([INVALID, FORBIDDEN, Ok("c")], FORBIDDEN, 2),
            ([UNAVAILABLE, Ok("b"), INVALID], Ok("b"), 2),
            ([UNAVAILABLE, INVALID, INVALID], UNAVAILABLE, 3),
            ([INVALID, INVALID, UNAVAILABLE], UNAVAILABLE, 3),
            ([INVALID, UNAVAILABLE, INVALID], UNAVAILABLE, 3),
            ([UNAVAILABLE, EXPIRED, Ok("c")], EXPIRED, 2),
            ([UNAVAILABLE, FORBIDDEN, Ok("c")], FORBIDDEN, 2),
            (
                [retry_after(9), retry_after(5), retry_after(7)],
                retry_after(5),
                3,
            ),
            (
                [UNAVAILABLE, retry_after(5), UNAVAILABLE],
                retry_after(5),
                3,
            ),
        ];
        for (results, expected, calls) in table {
            let (three, list) = (results.map(returns), results.map(returns));
            let [a, b, c] = three.clone();
            let expected = expected.map(str::to_owned);
            check(any_of((a, b, c)), &three, &expected, *calls).await;
            check(any_of(list.to_vec()), &list, &expected, *calls).await;
        }
    }

    async fn check(
        any: impl Verify,
        three: &[Returns; 3],
        expected: &Result<String, VerifyError>,
        calls: usize,
    ) {
        let credential = Credential::bearer("t");
        let results = three.each_ref().map(|it| it.result);
        let total = || three.iter().map(Returns::calls).sum::<usize>();

        let now = any.verify_now(&credential).expect("no verifier waits");
        assert_eq!(subject(now), *expected, "{results:?}");
        assert_eq!(total(), calls, "{results:?}");

        let later = any.verify(&credential).await;
        assert_eq!(subject(later), *expected, "{results:?}");
        assert_eq!(total(), 2 * calls, "{results:?}");
    }

    #[test]
    fn empty_list_refuses_every_credential() {
        let empty = any_of(Vec::<Returns>::new());
        let result = empty.verify_now(&Credential::bearer("t"));
        assert_eq!(result.map(subject), Some(Err(VerifyError::Invalid)));
    }

    #[tokio::test]
    async fn verify_now_returns_none_if_a_verifier_before_the_decision_waits() {
        let credential = Credential::bearer("t");
        let now = |any: &dyn Fn() -> Option<Result<Identity, VerifyError>>| any().map(subject);

        let any = any_of((returns(Ok("a")), waits_and_returns(Ok("b"))));
        assert_eq!(
            now(&|| any.verify_now(&credential)),
            Some(Ok("a".to_owned()))
        );

        let last = returns(Ok("c"));
        let any = any_of((returns(INVALID), waits_and_returns(INVALID), last.clone()));
        assert_eq!(now(&|| any.verify_now(&credential)), None);
        assert_eq!(last.calls(), 0, "a later verifier is not called");
        assert_eq!(
            subject(any.verify(&credential).await),
            Ok("c".to_owned()),
            "the order is kept"
        );
    }

    #[test]
    fn tuples_have_one_to_eight_verifiers() {
        let no = || returns(INVALID);
        let yes = || returns(Ok("yes"));
        fn last_decides(any: &impl Verify) {
            let result = any.verify_now(&Credential::bearer("t"));
            assert_eq!(result.map(subject), Some(Ok("yes".to_owned())));
        }
        last_decides(&any_of((yes(),)));
        last_decides(&any_of((no(), yes())));
        last_decides(&any_of((no(), no(), yes())));
        last_decides(&any_of((no(), no(), no(), yes())));
        last_decides(&any_of((no(), no(), no(), no(), yes())));
        last_decides(&any_of((no(), no(), no(), no(), no(), yes())));
        last_decides(&any_of((no(), no(), no(), no(), no(), no(), yes())));
        last_decides(&any_of((no(), no(), no(), no(), no(), no(), no(), yes())));
    }
}
