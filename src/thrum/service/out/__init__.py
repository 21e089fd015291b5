"""Who is told: ``base`` what senders share, ``mqtt`` the broker, ``webhook``."""
