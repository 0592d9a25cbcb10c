"""The way to other registries, as it is configured."""

from frontend.domain.networks import Allowance
from frontend.domain.outbound import OutboundProxy
from frontend.settings import Proxy, SettingInvalid
from frontend.upstream.transport import Patience, Way
from frontend.upstream.trust import Trust


def build_way(settings: Proxy) -> Way:
    """Make the way, once for all upstreams. A file of certificates is read at once.

    Raises:
        SettingInvalid: the file of certificates cannot be used.
    """
    trust = Trust(settings.ca)
    try:
        if settings.ca:
            trust.read()
    except OSError as error:  # also what is no certificate
        raise SettingInvalid("proxy.ca", error.strerror or str(error)) from None
    found = {
        "http": OutboundProxy.parse(settings.http_proxy),
        "https": OutboundProxy.parse(settings.https_proxy),
    }
    patience = Patience(
        connect_seconds=settings.connect_seconds,
        head_seconds=settings.answer_seconds,
        stall_seconds=settings.stall_seconds,
        min_rate=settings.min_body_rate,
    )
    return Way(
        trust=trust,
        allowance=Allowance.parse(settings.allow),
        patience=patience,
        proxies={scheme: proxy for scheme, proxy in found.items() if proxy is not None},
        connections=settings.connections,
    )
