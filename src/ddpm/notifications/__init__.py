"""Notifications to the user's webhook, according to the Standard Webhooks specification (standardwebhooks.com).

DDPM_WEBHOOK_URL and DDPM_WEBHOOK_SECRET in the environment configure it; docs/notifications.md describes receivers.
"""

from ddpm.notifications.delivery import DeliveryError, RetryPolicy, deliver, post
from ddpm.notifications.message import Kind, Message, champion_moved, message
from ddpm.notifications.settings import NotificationError, Webhook, redacted, webhook
from ddpm.notifications.signature import headers, sign

__all__ = [
    "DeliveryError",
    "Kind",
    "Message",
    "NotificationError",
    "RetryPolicy",
    "Webhook",
    "champion_moved",
    "deliver",
    "headers",
    "message",
    "post",
    "redacted",
    "sign",
    "webhook",
]
