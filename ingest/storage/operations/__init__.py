"""Operations on a whole installation: backup, restore, retention, resealing, and unused content."""
