"""The texts of the portal and the Slack bot, in the languages that people can choose."""
