"""Operations on a whole installation: backup, restore, retention, resealing, and removal of unused content."""
