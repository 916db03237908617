use portcullis_core::{Credential, Identity, Verify, VerifyError};

/// Asks several verifiers in order; the first that accepts decides.
///
/// Takes a tuple of one to eight verifiers with the same claims, or a `Vec` of verifiers of one type,
/// such as one for each issuer of a configuration. [`map`](super::VerifyExt::map) gives them the same
/// claims if they have different ones, and [`boxed`](super::VerifyExt::boxed) the same type. An empty
/// `Vec` accepts nobody.
///
/// ```
/// use portcullis::{AuthLayer, Credential, Identity, StaticTokens, VerifyError, any_of};
///
/// # async fn look_up(_: &str) -> Option<String> { None }
/// let services = StaticTokens::new([("backup", "s3cret")])?;
/// let users = async |credential: Credential| {
///     match look_up(credential.expose_secret()).await {
///         Some(user) => Ok(Identity::new(user)),
///         None => Err(VerifyError::Invalid),
///     }
/// };
/// let auth = AuthLayer::new(any_of((services, users)));
/// # Ok::<_, portcullis::verify::StaticTokenError>(())
/// ```
///
/// # Who is asked next
///
/// | one says | then |
/// |---|---|
/// | an identity | that is the answer |
/// | [`Invalid`](VerifyError::Invalid) | the next is asked |
/// | [`Unavailable`](VerifyError::Unavailable) | the next is asked. If nobody accepts, this is the answer: it might have been a yes |
/// | [`Expired`](VerifyError::Expired), [`Forbidden`](VerifyError::Forbidden) | that is the answer. Only who knows a credential can say so, and a no of theirs is not for others to overrule |
///
/// [`verify_now`](Verify::verify_now) goes as far as it can: it answers if everybody up to the one
/// that decides can. So name those first that answer at once. They are asked again if a later one
/// has to be waited for.
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
                    let answer = $verifier.verify(credential).await;
                    if let Some(decision) = weigh(answer, &mut undecided) {
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
                    let answer = $verifier.verify_now(credential)?;
                    if let Some(decision) = weigh(answer, &mut undecided) {
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
            let answer = verifier.verify(credential).await;
            if let Some(decision) = weigh(answer, &mut undecided) {
                return decision;
            }
        }
        Err(undecided)
    }

    fn verify_now(&self, credential: &Credential) -> Option<Result<Identity, VerifyError>> {
        let mut undecided = VerifyError::Invalid;
        for verifier in &self.0 {
            let answer = verifier.verify_now(credential)?;
            if let Some(decision) = weigh(answer, &mut undecided) {
                return Some(decision);
            }
        }
        Some(Err(undecided))
    }

    fn needs_handshake(&self) -> bool {
        self.0.iter().any(Verify::needs_handshake)
    }
}

/// The answer, if it decides. What does not is added to what is `undecided`.
fn weigh(
    answer: Result<Identity, VerifyError>,
    undecided: &mut VerifyError,
) -> Option<Result<Identity, VerifyError>> {
    match answer {
        Err(VerifyError::Invalid) => None,
        Err(VerifyError::Unavailable { retry_after }) => {
            let earlier = match *undecided {
                VerifyError::Unavailable { retry_after } => retry_after,
                _ => None,
            };
            // The soonest: any of them may be the one that accepts.
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

    type Answer = Result<&'static str, VerifyError>;

    /// Says the same to everybody, at once or not, and counts how often.
    #[derive(Clone)]
    struct Says {
        answer: Answer,
        at_once: bool,
        asked: Arc<AtomicUsize>,
    }

    fn says(answer: Answer) -> Says {
        Says {
            answer,
            at_once: true,
            asked: Arc::default(),
        }
    }

    fn says_later(answer: Answer) -> Says {
        Says {
            at_once: false,
            ..says(answer)
        }
    }

    impl Says {
        fn say(&self) -> Result<Identity, VerifyError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.answer.map(Identity::new)
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    impl Verify for Says {
        async fn verify(&self, _: &Credential) -> Result<Identity, VerifyError> {
            tokio::task::yield_now().await;
            self.say()
        }

        fn verify_now(&self, _: &Credential) -> Option<Result<Identity, VerifyError>> {
            self.at_once.then(|| self.say())
        }
    }

    fn subject(answer: Result<Identity, VerifyError>) -> Result<String, VerifyError> {
        answer.map(|identity| identity.subject().to_owned())
    }

    const INVALID: Answer = Err(VerifyError::Invalid);
    const EXPIRED: Answer = Err(VerifyError::Expired);
    const FORBIDDEN: Answer = Err(VerifyError::Forbidden);
    const UNAVAILABLE: Answer = Err(VerifyError::unavailable());

    const fn back_in(seconds: u64) -> Answer {
        Err(VerifyError::Unavailable {
            retry_after: Some(Duration::from_secs(seconds)),
        })
    }

    #[tokio::test]
    async fn three_answers_make_one() {
        // The answers, the answer, and how many of them were asked.
        let table: &[([Answer; 3], Answer, usize)] = &[
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
            ([back_in(9), back_in(5), back_in(7)], back_in(5), 3),
            ([UNAVAILABLE, back_in(5), UNAVAILABLE], back_in(5), 3),
        ];
        for (answers, expected, asked) in table {
            let (three, list) = (answers.map(says), answers.map(says));
            let [a, b, c] = three.clone();
            let expected = expected.map(str::to_owned);
            decides(any_of((a, b, c)), &three, &expected, *asked).await;
            decides(any_of(list.to_vec()), &list, &expected, *asked).await;
        }
    }

    async fn decides(
        any: impl Verify,
        three: &[Says; 3],
        expected: &Result<String, VerifyError>,
        asked: usize,
    ) {
        let credential = Credential::bearer("t");
        let answers = three.each_ref().map(|it| it.answer);
        let total = || three.iter().map(Says::asked).sum::<usize>();

        let now = any.verify_now(&credential).expect("everybody can tell");
        assert_eq!(subject(now), *expected, "{answers:?}");
        assert_eq!(total(), asked, "{answers:?}");

        let later = any.verify(&credential).await;
        assert_eq!(subject(later), *expected, "{answers:?}");
        assert_eq!(total(), 2 * asked, "{answers:?}");
    }

    #[test]
    fn an_empty_list_accepts_nobody() {
        let nobody = any_of(Vec::<Says>::new());
        let answer = nobody.verify_now(&Credential::bearer("t"));
        assert_eq!(answer.map(subject), Some(Err(VerifyError::Invalid)));
    }

    #[tokio::test]
    async fn only_those_up_to_the_decision_have_to_be_quick() {
        let credential = Credential::bearer("t");
        let now = |any: &dyn Fn() -> Option<Result<Identity, VerifyError>>| any().map(subject);

        let any = any_of((says(Ok("a")), says_later(Ok("b"))));
        assert_eq!(
            now(&|| any.verify_now(&credential)),
            Some(Ok("a".to_owned()))
        );

        let last = says(Ok("c"));
        let any = any_of((says(INVALID), says_later(INVALID), last.clone()));
        assert_eq!(now(&|| any.verify_now(&credential)), None);
        assert_eq!(last.asked(), 0, "not before its turn");
        assert_eq!(
            subject(any.verify(&credential).await),
            Ok("c".to_owned()),
            "the order holds"
        );
    }

    #[test]
    fn takes_one_to_eight() {
        let no = || says(INVALID);
        let yes = || says(Ok("yes"));
        fn last_wins(any: &impl Verify) {
            let answer = any.verify_now(&Credential::bearer("t"));
            assert_eq!(answer.map(subject), Some(Ok("yes".to_owned())));
        }
        last_wins(&any_of((yes(),)));
        last_wins(&any_of((no(), yes())));
        last_wins(&any_of((no(), no(), yes())));
        last_wins(&any_of((no(), no(), no(), yes())));
        last_wins(&any_of((no(), no(), no(), no(), yes())));
        last_wins(&any_of((no(), no(), no(), no(), no(), yes())));
        last_wins(&any_of((no(), no(), no(), no(), no(), no(), yes())));
        last_wins(&any_of((no(), no(), no(), no(), no(), no(), no(), yes())));
    }
}
